"""Who may call: keys, and pages of other origins."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.engine import Engine
from serving.errors import ApiError
from serving.replies import error_reply

__all__ = ["AllowOrigins", "RequireKey", "given_key"]

_SCHEME = "bearer"  # RFC 9110: in any case
# What a page may read of a reply, beyond what every page may.
_EXPOSED = ("X-MoME-Scale", "X-MoME-Version", "X-MoME-Cut", "X-Request-ID", "Retry-After", "Location")


class RequireKey:
    """Ask for one of the keys, if any is set, before a byte of the body is read."""

    def __init__(self, app: ASGIApp, engine: Callable[[], Engine]) -> None:
        self._app = app
        self._engine = engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        keys = self._engine().settings.api_keys
        if scope["type"] == "http" and keys and not _is_known(given_key(scope), keys):
            error = ApiError(
                "missing or wrong API key; expected the header 'Authorization: Bearer <key>'",
                status=401,
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
            self._engine().metrics.refused("invalid_api_key")
            await error_reply(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)


class AllowOrigins:
    """Let pages of the origins in the settings call from a browser; it asks first, and without a key."""

    def __init__(self, app: ASGIApp, engine: Callable[[], Engine]) -> None:
        self._app = app
        self._engine = engine
        self._checked: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Settings exist when the first request comes, not when the routes are made.
        if self._checked is None:
            origins = self._engine().settings.cors_origins
            self._checked = self._app if not origins else self._with(origins)
        await self._checked(scope, receive, send)

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
    """Return the key that a request came with; empty if it has none."""
    scheme, _, key = Request(scope).headers.get("authorization", "").strip().partition(" ")
    return key.strip() if scheme.lower() == _SCHEME else ""


def _is_known(given: str, keys: tuple[str, ...]) -> bool:
    # In constant time, and all of them: the time must not tell how much of a guess was right, or of which.
    return sum(hmac.compare_digest(given.encode(), key.encode()) for key in keys) > 0
