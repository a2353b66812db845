"""One of the two services behind the router: asked with a request that is in memory, heard piece by piece."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from serving.errors import ApiError
from serving.rollout.comparison import Heard, estimate_of, text_of

__all__ = ["Backend", "Reply", "Sent", "end_to_end"]

# RFC 9110, 7.6.1: between two neighbours, and not for whoever comes behind them.
_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_STREAM = "text/event-stream"
_LONGEST_TEXT = 1_000_000  # bytes of a reply that are looked at; a transcription has some hundred
_LONGEST_REPLY = 8_000_000  # bytes that are waited for; whatever is longer is passed on as it comes


@dataclass(frozen=True)
class Sent:
    """What a caller asked: the body whole, so that it can be asked again."""

    method: str
    path: str  # with the query, encoded
    headers: CIMultiDict[str]
    body: bytes


def end_to_end(headers: CIMultiDictProxy[str] | CIMultiDict[str], *without: str) -> CIMultiDict[str]:
    """Return the headers that go on to the next one, without some by their lower-case names."""
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    left_out = _HOP_BY_HOP | named | set(without)
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in left_out)


class Reply:
    """A reply: whole, or of a stream the first piece, with the rest to come.

    Args:
        status: HTTP status.
        headers: Those that are for the caller.
        body: As far as it has come.
        seconds: Since the request was sent.
        rest: Where the other pieces come from; None if there are none.
    """

    def __init__(
        self,
        status: int,
        headers: CIMultiDict[str],
        body: bytes,
        seconds: float,
        rest: aiohttp.ClientResponse | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.is_whole = rest is None
        self.ended = asyncio.Event()
        self.is_cut = False  # by the backend
        self.is_left = False  # by the caller
        self.seconds = seconds
        self._rest = rest
        self._heard = bytearray(body[:_LONGEST_TEXT])
        if rest is None:
            self.ended.set()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the body, once; `is_cut` says whether the backend broke off."""
        yield self.body
        if self._rest is None:
            return
        try:
            async for piece in self._rest.content.iter_any():
                self._heard += piece[: _LONGEST_TEXT - len(self._heard)]
                yield piece
        except (aiohttp.ClientError, TimeoutError):
            self.is_cut = True
        self._rest.release()
        self.ended.set()

    def leave(self) -> None:
        """Say that nobody hears the rest; nothing happens if it was heard."""
        if self._rest is not None and not self.ended.is_set():
            self.is_left = True
            self._rest.close()
            self.ended.set()

    async def listen(self) -> None:
        """Hear the rest of a reply that nobody is given."""
        async for _ in self.pieces():
            pass

    def heard(self) -> Heard:
        """Return what is compared; for a reply that has ended."""
        kind = self.headers.get("Content-Type", "")
        text = text_of(kind, bytes(self._heard))
        # An error in the middle of a stream is an event of it, with the status 200 sent long before.
        is_broken = kind.startswith(_STREAM) and text is None
        estimated = estimate_of(self.headers.get("X-MoME-Estimated-WER"), kind, bytes(self._heard))
        return Heard(self.status, self.seconds, text, self.is_cut or is_broken, estimated)


class Backend:
    """Where a version is served.

    Args:
        role: ``champion`` or ``candidate``.
        url: Its address.
        session: That asks; it needs no default time limits.
        timeout_s: Until a reply is whole, or a stream's next piece is there.
    """

    def __init__(self, role: str, url: str, session: aiohttp.ClientSession, timeout_s: float) -> None:
        self.role = role
        self.url = url.rstrip("/")
        self._session = session
        self._timeout_s = timeout_s

    async def ask(self, sent: Sent) -> Reply:
        """Return the reply; one of the status 502 or 504 if there is none.

        A connection that ended before a byte of a reply was there is tried once more: it may have been an
        idle one that the backend closed just then, or a pod that ends. So is one whose server says that
        it ends (503, and no more requests on this connection): another pod of the same version goes on.
        """
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout_s):
                try:
                    return await self._ask(sent, started, is_first=True)
                except (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError, ConnectionError):
                    return await self._ask(sent, started)
        except TimeoutError:
            return self._none(504, f"did not answer within {self._timeout_s:g} s", started)
        except (aiohttp.ClientError, ConnectionError) as error:
            return self._none(502, f"cannot be reached ({type(error).__name__})", started)

    async def _ask(self, sent: Sent, started: float, *, is_first: bool = False) -> Reply:
        response = await self._session.request(
            sent.method,
            URL(self.url + sent.path, encoded=True),
            headers=sent.headers,
            data=sent.body or None,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=self._timeout_s),
        )
        if is_first and response.status == 503 and response.headers.get("Connection", "").lower() == "close":
            response.close()
            raise aiohttp.ServerDisconnectedError("it ends")
        body = bytearray()
        is_stream = response.content_type == _STREAM
        try:
            async for piece in response.content.iter_any():
                body += piece
                if is_stream or len(body) > _LONGEST_REPLY:
                    rest = response
                    break
            else:
                rest = None
                response.release()
                if is_stream:
                    raise aiohttp.ClientPayloadError("a stream ended before its first byte")
        except BaseException:
            response.close()
            raise
        headers = end_to_end(response.headers, *([] if sent.method == "HEAD" else ["content-length"]))
        return Reply(response.status, headers, bytes(body), time.perf_counter() - started, rest)

    def _none(self, status: int, what: str, started: float) -> Reply:
        error = ApiError(f"the {self.role} {what}", status=status, code="no_reply")
        headers = CIMultiDict({"Content-Type": "application/json"})
        if status == 502:
            headers["Retry-After"] = "1"
        return Reply(status, headers, json.dumps(error.body()).encode(), time.perf_counter() - started)
