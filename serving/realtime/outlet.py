"""Events to the client, in OpenAI's shape."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocketDisconnect

from serving.errors import ApiError

__all__ = ["Outlet", "error_body", "error_message"]


class Outlet:
    """Where events go.

    Args:
        send: Sends one text.
    """

    def __init__(self, send: Callable[[str], Awaitable[None]]) -> None:
        self._send = send
        self.older = False  # the client speaks the dialect of before general availability

    async def tell(self, kind: str, **fields: Any) -> None:
        """Send one event; ``kind`` is its type."""
        event = _message(kind, **fields)
        # Whoever left hears nothing; that they left is seen where events come in.
        with suppress(WebSocketDisconnect, RuntimeError, OSError):
            await self._send(json.dumps(event))

    async def refuse(self, error: ApiError, event_id: str | None = None) -> None:
        """Say what was wrong, and with which of the client's events; the session goes on."""
        await self.tell("error", error={**error_body(error), "event_id": event_id})


def error_body(error: ApiError) -> dict[str, str | None]:
    """Return what is wrong, as a refused request would say it."""
    return error.body()["error"]


def error_message(error: ApiError) -> dict[str, Any]:
    """Return the event that says what is wrong with a session."""
    return _message("error", error={**error_body(error), "event_id": None})


def _message(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "event_id": f"event_{uuid.uuid4().hex[:20]}", **fields}
