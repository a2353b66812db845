"""The WebSocket of one session: its events in, its limits, and its end."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketState

from mome.modalities import readings
from serving.access import quota
from serving.engine import Engine
from serving.errors import ApiError
from serving.fields import check_fields
from serving.quotas import Quota
from serving.realtime.conversation import Conversation
from serving.realtime.lips import Lips
from serving.realtime.outlet import Outlet
from serving.realtime.session import updated
from serving.realtime.sound import decoded_base64

__all__ = ["SUBPROTOCOL", "Sessions"]

_log = logging.getLogger(__name__)
SUBPROTOCOL = "realtime"  # as browsers ask for it, which can send no header
_MAX_MESSAGE = 4_000_000  # characters: a minute of sound
_LOOK_S = 0.1  # for the end of the service, and of a client's silence
# Codes of RFC 6455, and of the registry that it opened.
_NORMAL, _GOING_AWAY, _POLICY, _TOO_BIG, _FAILED, _TRY_LATER = 1000, 1001, 1008, 1009, 1011, 1013


class Sessions:
    """All live sessions of a worker.

    Args:
        engine: Gives the worker's engine.
    """

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine
        self._count = 0

    async def serve(self, websocket: WebSocket) -> None:
        """Answer one client until it or the service goes."""
        engine = self._engine()
        offered = websocket.scope.get("subprotocols", [])
        await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        outlet = Outlet(websocket.send_text)
        outlet.older = "realtime=v1" in websocket.headers.get("openai-beta", "")
        try:
            self._check(websocket, engine)
            # The service ends when it is over, and the load that it is likely to bring must have room.
            with engine.admission.arrival(None):
                self._changed(engine, 1)
                try:
                    code = await _Connection(websocket, engine, outlet, quota(websocket)).run()
                finally:
                    self._changed(engine, -1)
        except ApiError as error:
            engine.metrics.refused(error.code or f"http_{error.status}")
            await outlet.refuse(error)
            code = {429: _TRY_LATER, 503: _GOING_AWAY}.get(error.status, _POLICY)
        except Exception as error:  # noqa: BLE001 - one session ends, the others go on
            _log.error("a live session failed", exc_info=error)
            engine.metrics.refused("internal_error")
            code = _FAILED
        if websocket.client_state is WebSocketState.CONNECTED:
            await _close(websocket, code)

    def _check(self, websocket: WebSocket, engine: Engine) -> None:
        query = websocket.query_params
        if (intent := query.get("intent", "transcription")) != "transcription":
            raise ApiError(
                f"intent {intent!r} is not served; expected 'transcription'",
                param="intent",
                code="invalid_value",
            )
        check_fields({"model": query["model"]} if "model" in query else {}, engine)
        known = tuple(engine.bundle.evaluation.wer)
        if not readings(known, "audio"):
            raise ApiError(
                f"this model does not read sound alone; it takes {', '.join(known)}",
                code="unsupported_modality",
            )
        if self._count >= engine.settings.max_sessions:
            raise ApiError(
                f"{self._count} live sessions are open already; try again later",
                status=429,
                code="rate_limit_exceeded",
            )

    def _changed(self, engine: Engine, by: int) -> None:
        self._count += by
        engine.metrics.sessions(self._count)


class _Left(Exception):
    """The client is gone: nobody waits for what is read."""


class _Connection:
    """One client."""

    def __init__(self, websocket: WebSocket, engine: Engine, outlet: Outlet, quota: Quota) -> None:
        self._websocket = websocket
        self._engine = engine
        self._outlet = outlet
        self._quota = quota
        self._id = f"sess_{uuid.uuid4().hex[:20]}"
        self._handlers: dict[str, Callable[[dict[str, Any]], Awaitable[None]]] = {
            "session.update": self._update,
            "transcription_session.update": self._update,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
            "input_video_buffer.append": self._look,
        }
        known = tuple(engine.bundle.evaluation.wer)
        self._lips: Lips | None = None
        if "av" in known:
            self._lips = Lips(
                engine.decoders, outlet, self._id, engine.max_duration_s, engine.bundle.face_models
            )

    async def run(self) -> int:
        """Return the code with which the connection is to be closed."""
        code = _NORMAL
        try:
            async with asyncio.TaskGroup() as reading:
                self._conversation = Conversation(
                    self._engine, self._outlet, self._lips, self._quota.heard, reading
                )
                looking = None if self._lips is None else reading.create_task(self._lips.look())
                await self._say_session("created")
                code = await self._listen()
                await self._conversation.answered()
                if looking is not None:
                    looking.cancel()
        except* _Left:  # and with the client all that was being read for it
            pass
        return code

    async def _listen(self) -> int:
        """Take the client's events; return the code if the service ends the session.

        Raises:
            _Left: If the client left.
        """
        heard_at = time.monotonic()
        receiving: asyncio.Future[Any] | None = None
        try:
            while True:
                receiving = receiving or asyncio.ensure_future(self._websocket.receive())
                await asyncio.wait({receiving}, timeout=_LOOK_S)
                if self._engine.admission.draining:
                    await self._conversation.finish()
                    return _GOING_AWAY
                if receiving.done():
                    message = receiving.result()
                    receiving = None
                    if message["type"] == "websocket.disconnect":
                        raise _Left
                    text = message.get("text")
                    if len(text or "") > _MAX_MESSAGE:
                        await self._refuse(
                            f"the event has {len(text)} characters; at most {_MAX_MESSAGE} are taken",
                            "message_too_large",
                        )
                        return _TOO_BIG
                    await self._take(text)
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at > self._engine.settings.session_idle_s:
                    await self._refuse(
                        f"nothing came for {self._engine.settings.session_idle_s:g} s", "session_idle"
                    )
                    return _POLICY
        finally:
            if receiving is not None:
                receiving.cancel()

    async def _take(self, text: str | None) -> None:
        event: Any = None
        with suppress(ValueError, RecursionError):
            event = json.loads(text) if text is not None else None
        if not isinstance(event, dict):
            await self._refuse("an event is a JSON object, sent as text", "invalid_json")
            return
        kind = event.get("type")
        given_id = event.get("event_id")
        event_id = given_id if isinstance(given_id, str) else None
        handler = self._handlers.get(kind) if isinstance(kind, str) else None
        if handler is None:
            await self._refuse(
                f"unknown event {str(kind)[:80]!r}; expected one of {', '.join(self._handlers)}",
                "unknown_event",
                event_id,
            )
            return
        try:
            await handler(event)
        except ApiError as error:
            self._engine.metrics.refused(error.code or "invalid_value")
            await self._outlet.refuse(error, event_id)

    async def _update(self, event: dict[str, Any]) -> None:
        session = updated(self._conversation.session, event.get("session"))
        if (wanted := session.audio.input.transcription) is not None and wanted.model is not None:
            check_fields({"model": wanted.model}, self._engine)
        self._conversation.update(session)
        self._outlet.older = self._outlet.older or event["type"] == "transcription_session.update"
        await self._say_session("updated")

    async def _append(self, event: dict[str, Any]) -> None:
        self._quota.check_seconds()
        await self._conversation.append(decoded_base64(event.get("audio"), "audio"))

    async def _commit(self, _: dict[str, Any]) -> None:
        await self._conversation.commit()

    async def _clear(self, _: dict[str, Any]) -> None:
        await self._conversation.clear()

    async def _look(self, event: dict[str, Any]) -> None:
        if self._lips is None:
            raise ApiError("this model reads no lips beside the sound", code="unsupported_modality")
        await self._lips.append(event)

    async def _say_session(self, what: str) -> None:
        kind = "transcription_session" if self._outlet.older else "session"
        await self._outlet.tell(f"{kind}.{what}", session=self._conversation.session.described(self._id))

    async def _refuse(self, message: str, code: str, event_id: str | None = None) -> None:
        self._engine.metrics.refused(code)
        await self._outlet.refuse(ApiError(message, code=code), event_id)


async def _close(websocket: WebSocket, code: int) -> None:
    try:
        await websocket.close(code)
    except (RuntimeError, OSError):  # it went first
        return
