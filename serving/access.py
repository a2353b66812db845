"""Who may call, and how much: keys with their limits, and pages of other origins."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.engine import Engine
from serving.errors import ApiError
from serving.quotas import Quota
from serving.replies import error_reply

__all__ = ["AllowOrigins", "LimitKeys", "RequireKey", "given_key", "quota"]

_SCHEME = "bearer"  # RFC 9110: in any case
_KEY_AS_SUBPROTOCOL = "openai-insecure-api-key."  # a page can send no header with a WebSocket
# What a page may read of a reply, beyond what every page may.
_EXPOSED = (
    "X-MoME-Scale",
    "X-MoME-Version",
    "X-MoME-Cut",
    "X-MoME-Estimated-WER",
    "X-Request-ID",
    "Retry-After",
    "Location",
    *(
        f"x-ratelimit-{of}-{what}"
        for what in ("requests", "audio-seconds")
        for of in ("limit", "remaining", "reset")
    ),
)


class RequireKey:
    """Ask for one of the keys, if any is set, before a byte of the body is read."""

    def __init__(self, app: ASGIApp, engine: Callable[[], Engine]) -> None:
        self._app = app
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        caller = self._engine().quotas.of(given_key(scope))
        if caller is None:
            error = ApiError(
                "missing or wrong API key; expected the header 'Authorization: Bearer <key>'",
                status=401,
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
            self._engine().metrics.refused("invalid_api_key")
            await error_reply(error)(scope, receive, send)
            return
        scope["state"] = {**scope.get("state", {}), "quota": caller}
        await self._app(scope, receive, send)


class LimitKeys:
    """Hold a key to its limits before a byte of the body is read, and say what is left.

    What is sent counts; asking how far a job is, or what is served, does not.
    """

    def __init__(self, app: ASGIApp, engine: Callable[[], Engine]) -> None:
        self._app = app
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_sent = scope["type"] == "websocket" or (scope["type"] == "http" and scope["method"] == "POST")
        if not is_sent:
            await self._app(scope, receive, send)
            return
        caller: Quota = scope["state"]["quota"]

        async def send_with_limits(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(caller.headers())
            await send(message)

        with ExitStack() as until_answered:
            try:
                until_answered.enter_context(caller.request())
            except ApiError as error:
                self._engine().metrics.refused(error.code or "rate_limit_exceeded")
                await error_reply(error)(scope, receive, send_with_limits)
                return
            await self._app(scope, receive, send_with_limits)


class AllowOrigins:
    """Let pages of the origins in the settings call from a browser; it asks first, and without a key."""

    def __init__(self, app: ASGIApp, engine: Callable[[], Engine]) -> None:
        self._app = app
        self._engine = engine
        self._checked: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and not self._may_open(HTTPConnection(scope)):
            error = ApiError(
                "pages of this origin may not open a live session; MOME_CORS_ORIGINS names those that may",
                status=403,
                code="origin_not_allowed",
            )
            self._engine().metrics.refused("origin_not_allowed")
            await error_reply(error)(scope, receive, send)
            return
        # Settings exist when the first request comes, not when the routes are made.
        if self._checked is None:
            origins = self._engine().settings.cors_origins
            self._checked = self._app if not origins else self._with(origins)
        await self._checked(scope, receive, send)

    def _may_open(self, connection: HTTPConnection) -> bool:
        """Tell whether a page may: unlike for requests, browsers leave that to the server alone."""
        origin = connection.headers.get("origin")
        if origin is None or not {"*", origin}.isdisjoint(self._engine().settings.cors_origins):
            return True
        return urlsplit(origin).netloc == connection.headers.get("host")

    def _with(self, origins: tuple[str, ...]) -> ASGIApp:
        return CORSMiddleware(
            self._app,
            allow_origins=origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("*",),  # OpenAI's client sends a dozen of its own
            expose_headers=_EXPOSED,
            max_age=600,
        )


def given_key(scope: Scope) -> str:
    """Return the key that a request or a WebSocket came with; empty if it has none."""
    scheme, _, key = HTTPConnection(scope).headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == _SCHEME:
        return key.strip()
    named = (each for each in scope.get("subprotocols", ()) if each.startswith(_KEY_AS_SUBPROTOCOL))
    return next(named, "").removeprefix(_KEY_AS_SUBPROTOCOL)


def quota(connection: HTTPConnection) -> Quota:
    """Return what is left to whoever sent this."""
    found = connection.state.quota
    assert isinstance(found, Quota)
    return found
