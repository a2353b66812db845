"""The OpenAI-compatible routes, mounted at ``/v1``.

POST /v1/audio/transcriptions   file [video] [compression_scale] [response_format] [stream] ...
POST /v1/audio/transcriptions/jobs   and what follows from it, see serving/job_routes.py
GET  /v1/models                 what is served
GET  /v1/models/{id}
GET  /v1/scale                  the scale in force, and why
GET  /v1/scale/last-hour        served scale and noise of the last hour, by minute
WS   /v1/realtime               live transcription, see serving/realtime

Every reply names the version of the model in ``X-MoME-Version``, and itself in ``X-Request-ID``, as
the logs do.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.access import AllowOrigins, LimitKeys, RequireKey, quota
from serving.engine import Begun, Engine, News, complete
from serving.errors import ApiError
from serving.events import EventStream
from serving.fields import FIELDS, Wanted, check_fields, wanted_reply, wants_stream
from serving.job_routes import job_routes
from serving.job_runner import JobRunner
from serving.patience import in_time_or_late
from serving.realtime.connection import Sessions
from serving.replies import MEDIA_TYPES, error_reply, model_card, reply
from serving.upload import Upload, receive_upload

__all__ = ["SayWho", "create_app"]


def create_app(engine: Callable[[], Engine], jobs: Callable[[], JobRunner | None]) -> Starlette:
    """Make the routes.

    Args:
        engine: Gives the worker's engine. A function, because routes exist before the model is loaded.
        jobs: Gives the worker's jobs; None where the service keeps none.
    """

    async def transcriptions(request: Request) -> Response:
        declared = request.headers.get("content-length", "")
        # Whoever cannot be answered in time learns it before the recording is sent.
        with engine().admission.arrival(int(declared) if declared.isdecimal() else None):
            upload = await receive_upload(
                request, max_bytes=engine().settings.max_upload_bytes, known_fields=FIELDS
            )
            try:
                check_fields(upload.fields, engine())
            except ApiError:
                upload.discard()
                raise
            wanted = wanted_reply(upload.fields)
            news = _answer(engine(), upload, wanted, request.state.request_id, quota(request).heard)
            if wants_stream(upload.fields):
                # What is refused is refused here, while the reply can still be a 4xx.
                begun = await anext(news)
                assert isinstance(begun, Begun)
                first = await anext(news)
                return EventStream(begun, first, news, engine().metrics, with_logprobs=wanted.logprobs)
            return await in_time_or_late(
                request,
                _reply(news, wanted, engine()),
                MEDIA_TYPES[wanted.response_format],
                {"X-Request-ID": request.state.request_id},
            )

    async def models(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [model_card(engine())]})

    async def model(request: Request) -> Response:
        check_fields({"model": request.path_params["id"]}, engine())
        return JSONResponse(model_card(engine()))

    async def scale(_: Request) -> Response:
        served = engine().scale_source.current()
        return JSONResponse(
            {
                "scale": str(served.scale),
                "source": served.source,
                "reason": served.reason,
                "at": served.at.isoformat() if served.at else None,
                "available": [str(scale) for scale in engine().scales],
                "untrained": list(engine().bundle.evaluation.untrained),
                "default": engine().settings.default_scale,
            }
        )

    async def last_hour(_: Request) -> Response:
        return JSONResponse({"minutes": engine().last_hour.minutes(datetime.now(UTC))})

    def refuse(request: Request, error: Exception) -> Response:
        refusal = _as_api_error(request, error)
        engine().metrics.refused(refusal.code or f"http_{refusal.status}")
        return error_reply(refusal)

    return Starlette(
        routes=[
            Route("/audio/transcriptions", transcriptions, methods=["POST"]),
            *job_routes("/audio/transcriptions/jobs", engine, jobs),
            Route("/models", models),
            Route("/models/{id}", model),
            Route("/scale", scale),
            Route("/scale/last-hour", last_hour),
            WebSocketRoute("/realtime", Sessions(engine).serve),
        ],
        middleware=[
            Middleware(AllowOrigins, engine=engine),
            Middleware(RequireKey, engine=engine),
            Middleware(SayWho, engine=engine),
            Middleware(LimitKeys, engine=engine),
        ],
        exception_handlers={ApiError: refuse, HTTPException: refuse, Exception: refuse},
    )


async def _answer(
    engine: Engine, upload: Upload, wanted: Wanted, request_id: str, heard: Callable[[float], None]
) -> AsyncGenerator[News, None]:
    """Answer an upload, and leave nothing of it behind."""
    scale = upload.fields.get("compression_scale") or None
    live = wants_stream(upload.fields)
    try:
        answer = engine.answer(upload.files, scale, request_id, heard, live=live, timed=wanted.timed)
        async with aclosing(answer):
            async for news in answer:
                yield news
    finally:
        upload.discard()


async def _reply(answer: AsyncGenerator[News, None], wanted: Wanted, engine: Engine) -> Response:
    return reply(await complete(answer), wanted, engine)


class SayWho:
    """Say in every reply which version gave it, and to which request.

    Args:
        app: Gives the replies.
        engine: Gives the worker's engine.
    """

    def __init__(self, app: ASGIApp, engine: Callable[[], Engine]) -> None:
        self._app = app
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.get("state", {})
        # Its stand-in has named it before.
        request_id = state.get("request_id") or uuid.uuid4().hex
        scope["state"] = {**state, "request_id": request_id}

        async def send_with_names(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-MoME-Version"] = self._engine().bundle.version
                headers["X-Request-ID"] = request_id
                if self._engine().admission.draining:
                    headers["Connection"] = "close"  # the next request would find nobody here
            await send(message)

        await self._app(scope, receive, send_with_names)


def _as_api_error(request: Request, error: Exception) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, HTTPException):
        known = {
            404: ("not_found", f"{request.url.path} does not exist"),
            405: ("method_not_allowed", f"{request.url.path} does not take {request.method}"),
        }
        code, message = known.get(error.status_code, (f"http_{error.status_code}", error.detail))
        return ApiError(
            message,
            status=error.status_code,
            code=code,
            headers=dict(error.headers) if error.headers else None,
        )
    return ApiError("the service failed on this request; its log says why", status=500, code="internal_error")
