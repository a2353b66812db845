"""Refuse in front of everything what cannot be read in time.

Who is refused comes again, and in overload three of four requests are refusals: what they cost, those that
are answered have less. BentoML's layers (metrics, traces, access log, context) and the routes make up most of
it. So a worker that is full says so before them; whatever needs a second look goes on to the routes, which
check everything again.
"""

from __future__ import annotations

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.access import given_key
from serving.engine import Engine
from serving.errors import ApiError
from serving.replies import error_reply
from serving.routes import SayWho
from serving.running import running_server
from serving.stand_in import AnswerWhenKilled, StandIn

__all__ = ["Door", "put_door_in_front"]

_PATH = "/v1/audio/transcriptions"
_READ_OFF_S = 1.0


class Door:
    """Refuse what is not to be sent, and pass everything else on.

    Args:
        app: All of the service.
        engine: The worker's engine.
    """

    def __init__(self, app: ASGIApp, engine: Engine) -> None:
        self._app = app
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = self._refusal(scope)
        if error is None:
            await self._app(scope, receive, send)
            return
        self._engine.metrics.refused(error.code or "rate_limit_exceeded")
        if self._engine.admission.draining:
            await _read_off(receive)
        await SayWho(error_reply(error), lambda: self._engine)(scope, receive, send)

    def _refusal(self, scope: Scope) -> ApiError | None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != _PATH:
            return None
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "")
        # A page may read a refusal only with headers that the routes know; to whoever has no key, load is
        # no business.
        if "origin" in headers or not declared.isdecimal():
            return None
        if self._engine.quotas.of(given_key(scope)) is None:
            return None
        try:
            self._engine.admission.check_arrival(int(declared))
        except ApiError as error:
            return error
        return None


async def _read_off(receive: Receive) -> None:
    """Take what is sent: closed upon while it comes, a connection is reset and the refusal is lost."""
    with anyio.move_on_after(_READ_OFF_S):
        while (await receive()).get("more_body", False):
            pass


def put_door_in_front(engine: Engine, stand_in: StandIn) -> None:
    """Put it before the application of the running server, for connections from now on.

    Args:
        engine: The worker's engine.
        stand_in: Answers those who came in should this process be killed.
    """
    server = running_server()
    if server is not None:
        inside = AnswerWhenKilled(server.config.loaded_app, engine, stand_in)
        server.config.loaded_app = Door(inside, engine)
