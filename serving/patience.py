"""A reply that is there in time has its status; one that takes longer says first that it will come.

Servers and proxies give up on a request whose reply does not begin within a minute. So a reply that takes
long begins early, with status 200 and white space, which every format may have in front. If the request
fails after that, the connection ends before the reply does, which clients report as an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serving.errors import ApiError

__all__ = ["in_time_or_late"]

PATIENCE_S = 30.0  # half of the time in which a reply must begin
KEEP_ALIVE_S = 10.0
_LOOK_S = 1.0  # for a caller who left
_HEADS = {"text/vtt": b"WEBVTT\n\n"}  # which must come before white space


async def in_time_or_late(
    request: Request, reply: Coroutine[object, object, Response], media_type: str, headers: dict[str, str]
) -> Response:
    """Return a reply when it is there, else one that begins now.

    Args:
        request: Whose caller may leave; that ends the work.
        reply: Makes the reply; may raise what routes raise.
        media_type: Of a reply that begins now.
        headers: Likewise.

    Raises:
        ApiError: If nobody waits for it any more.
        Exception: What making the reply raised.
    """
    task = asyncio.ensure_future(reply)
    try:
        waited_s = 0.0
        while waited_s < PATIENCE_S:
            done, _ = await asyncio.wait((task,), timeout=min(_LOOK_S, PATIENCE_S))
            if done:
                return task.result()
            if await request.is_disconnected():
                # As nginx calls it; HTTP has no word for a caller who left.
                raise ApiError("the caller left", status=499, code="client_closed_request")
            waited_s += _LOOK_S
    except BaseException:
        await _end(task)
        raise
    return _LateReply(task, media_type, headers)


class _LateReply(Response):
    """White space until the reply is there."""

    def __init__(self, task: asyncio.Future[Response], media_type: str, headers: dict[str, str]) -> None:
        super().__init__(media_type=media_type, headers=headers)
        del self.headers["content-length"]
        self._task = task
        self._head = _HEADS.get(media_type, b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send it, or nothing more if there is none."""
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await _send_some(send, self._head)
            while True:
                await asyncio.wait(
                    (self._task, gone), timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED
                )
                if self._task.done() or gone.done():
                    break
                await _send_some(send, b"\n")
            if self._task.done():
                body = bytes(self._task.result().body).removeprefix(self._head)
                await send({"type": "http.response.body", "body": body, "more_body": False})
        finally:
            gone.cancel()
            await _end(self._task)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_some(send: Callable[[dict[str, object]], Awaitable[None]], some: bytes) -> None:
    await send({"type": "http.response.body", "body": some, "more_body": True})


async def _end(task: asyncio.Future[Response]) -> None:
    """Cancel what nobody waits for, and wait until it has cleaned up."""
    if not task.done():
        task.cancel()
        await asyncio.wait((task,))
