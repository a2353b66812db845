"""What a worker owes its callers is known to a process that outlives it.

A worker that is killed, by hand, for memory or by a fault of a library, takes its connections with it, and
all of its callers would be reset, which says nothing of whether to come again. So a process beside it
holds a copy of each until the answer begins, and answers 503 ``worker_lost`` should there be none. In a
stream of events that has begun it says the same in an ``error`` event, in a live session likewise, which
then ends with the code 1012 (service restart).

It costs two messages a request. Where it cannot be had, nothing is lost but this.
"""

from __future__ import annotations

import itertools
import json
import logging
import select
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.access import AllowOrigins
from serving.child_process import start_child
from serving.engine import Engine
from serving.errors import ApiError
from serving.events import error_event
from serving.realtime.outlet import error_message
from serving.replies import error_reply
from serving.routes import SayWho
from serving.stand_in_process import COMMAND, encoded

__all__ = ["AnswerWhenKilled", "Held", "StandIn"]

_log = logging.getLogger(__name__)
_PATHS = "/v1/"
_AGAIN_S = 1  # others answer meanwhile, or the next one has started
_PATIENCE_S = 1.0  # with a process that should do nothing but read
_NOT_TWICE_S = 10.0
_SERVICE_RESTART = 1012  # registered as RFC 6455 asks for
_TEXT, _CLOSE = 0x81, 0x88  # whole frames of a WebSocket


class StandIn:
    """The process, which starts at once, and again should somebody end it."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._channel: socket.socket | None = None
        self._start()

    def hold(self, connection: int, request_id: str, words: bytes) -> int | None:
        """Let it answer should this process end.

        Args:
            connection: Descriptor of a socket that is not encrypted.
            request_id: For its log.
            words: What it would send, as it goes over the wire.

        Returns:
            The number by which the connection is called from now on; None if it cannot be had now.
        """
        if self._channel is None and time.monotonic() > self._started + _NOT_TWICE_S:
            self._start()
        number = next(self._numbers)
        try:
            # Nobody waits for it: it may still be starting.
            held = self._channel is not None and self._sent(encoded(number, request_id, words), connection)
        except OSError as error:
            _log.warning("a request is not held for a killed worker: %s", error)
            return None
        return number if held else None

    def reword(self, number: int, words: bytes) -> None:
        """Let it send something else."""
        self._tell(encoded(number, words=words))

    def release(self, number: int) -> None:
        """Take the connection back: as long as there is a copy, it is not closed."""
        self._tell(encoded(number))

    def close(self) -> None:
        """End it; it answers what is held still."""
        if self._channel is not None:
            self._channel.close()
            self._process.wait()
            self._channel = None

    def _start(self) -> None:
        self._started = time.monotonic()
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                try:
                    self._process = start_child(COMMAND, theirs.fileno())
                except OSError:
                    ours.close()
                    raise
        except OSError as error:  # no process or descriptor is left; requests can be answered all the same
            _log.warning("if this process is killed, nobody answers for it: %s", error)
            return
        ours.setblocking(False)
        self._channel = ours

    def _tell(self, message: bytes) -> None:
        """Send what must arrive."""
        if self._channel is None:
            return
        with suppress(OSError):
            if self._sent(message):
                return
            select.select([], [self._channel], [], _PATIENCE_S)
            if self._sent(message):
                return
        self._end()

    def _sent(self, message: bytes, *connections: int) -> bool:
        """Return whether there was room for it."""
        assert self._channel is not None
        try:
            socket.send_fds(self._channel, [message], connections)
        except BlockingIOError:
            return False
        except ConnectionError:  # it has ended, and with it its copies
            self._end()
        return True

    def _end(self) -> None:
        _log.warning("the process that answers if this one is killed has ended; another one is started")
        # Were it only asleep, connections would stay open as long as it does.
        self._process.kill()
        self.close()


class Held:
    """A connection that the stand-in has a copy of, until it is released or lost.

    Args:
        transport: Of the connection.
        stand_in: Holds it.
        request_id: For its log.
        words: What it would send.
    """

    def __init__(self, transport: Any, stand_in: StandIn, request_id: str, words: bytes) -> None:
        self._stand_in = stand_in
        self._number = stand_in.hold(transport.get_extra_info("socket").fileno(), request_id, words)
        # uvicorn may close it while the request is still worked on.
        self._protocol = transport.get_protocol()
        self._protocol.connection_lost = self._first(self._protocol.connection_lost)

    def reword(self, words: bytes) -> None:
        """Let the stand-in send something else."""
        if self._number is not None:
            self._stand_in.reword(self._number, words)

    def release(self) -> None:
        """Take it back; nothing happens the second time."""
        if self._number is not None:
            self._stand_in.release(self._number)
            self._number = None
        vars(self._protocol).pop("connection_lost", None)

    def _first(self, lost: Callable[[Exception | None], None]) -> Callable[[Exception | None], None]:
        def connection_lost(error: Exception | None) -> None:
            self.release()
            lost(error)

        return connection_lost


class AnswerWhenKilled:
    """Let the stand-in hold each connection until its answer begins, or is whole if it is a stream.

    Args:
        app: Answers.
        engine: The worker's engine.
        stand_in: Outlives it.
    """

    def __init__(self, app: ASGIApp, engine: Engine, stand_in: StandIn) -> None:
        self._app = app
        self._stand_in = stand_in
        lost = ApiError(
            "the process that had this request was killed; send it again",
            status=503,
            code="worker_lost",
            headers={"Retry-After": str(_AGAIN_S), "Connection": "close"},
        )
        self._reply = AllowOrigins(SayWho(error_reply(lost), lambda: engine), lambda: engine)
        self._in_stream = _chunk(error_event(lost).encode()) + _chunk(b"")
        self._in_session = _frame(_TEXT, json.dumps(error_message(lost)).encode())
        self._in_session += _frame(_CLOSE, _SERVICE_RESTART.to_bytes(2, "big"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = _plain_transport(scope, send)
        if transport is None:
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        held = Held(transport, self._stand_in, request_id, await self._refusal(scope))

        async def send_and_release(message: Message) -> None:
            match message:
                case {"type": "http.response.start"} if _is_chunked_stream(scope, message):
                    held.reword(self._in_stream)
                case {"type": "http.response.body", "more_body": True}:
                    pass
                case {"type": "websocket.accept" | "websocket.send"}:
                    pass
                case _:
                    held.release()
            await send(message)
            if message["type"] == "websocket.accept":
                held.reword(self._in_session)

        try:
            await self._app(scope, receive, send_and_release)
        finally:
            held.release()

    async def _refusal(self, scope: Scope) -> bytes:
        """Return the reply to a request that was lost, as this service would give it."""
        head, body = b"", b""

        async def write(message: Message) -> None:
            nonlocal head, body
            if message["type"] == "http.response.start":
                status = HTTPStatus(message["status"])
                head = b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode())
                head += b"".join(b"%s: %s\r\n" % each for each in message["headers"]) + b"\r\n"
            else:
                body += message["body"]

        await self._reply({**scope, "type": "http", "method": "GET"}, _nothing, write)
        return head if scope.get("method") == "HEAD" else head + body


def _plain_transport(scope: Scope, send: Send) -> Any | None:
    """Return the transport under a request of the API, where bytes can be written to it as they are."""
    if scope["type"] not in ("http", "websocket") or not scope["path"].startswith(_PATHS):
        return None
    # ASGI knows no connections, but what sends for uvicorn has one.
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None or transport.is_closing() or transport.get_extra_info("sslcontext") is not None:
        return None
    return transport


def _is_chunked_stream(scope: Scope, message: Message) -> bool:
    headers = Headers(raw=message.get("headers", []))
    is_stream = headers.get("content-type", "").startswith("text/event-stream")
    return is_stream and scope["http_version"] == "1.1"


def _chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def _frame(kind: int, content: bytes) -> bytes:
    # RFC 6455, section 5.2: what a server sends is not masked; lengths from 126 on take two bytes more.
    length = bytes([len(content)]) if len(content) < 126 else b"\x7e" + len(content).to_bytes(2, "big")
    return bytes([kind]) + length + content


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}
