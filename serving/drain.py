"""SIGTERM: answer what was let in, send others elsewhere, and end without a reset connection.

Left to itself the server stops accepting at once, while the supervisor keeps the listening socket open:
whoever connects then waits in its queue and is reset when the supervisor ends. So the server goes on
accepting until all is answered, with 503 for what is new, and takes the socket out of service last.

A recording of an hour may take longer than a pod has to end. What is not answered shortly before that is told
so: a stream by an error event, a reply that has not begun by 503.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
import socket
import time
from types import FrameType
from typing import Any

from serving.engine import Engine
from serving.running import running_server

__all__ = ["drain_at_sigterm"]

_log = logging.getLogger(__name__)
_LAST_WORDS_S = 3.0  # of a drain, in which who will not be answered is told so
_LINGER_S = 0.3  # in which last answers leave, and who had one hears that there are no more
_LOOK_S = 0.02


def drain_at_sigterm(engine: Engine) -> None:
    """Put this before the server's own handling of the signal; called in the event loop of a running server.

    Under anything but uvicorn, such as a test's client, nothing is changed.

    Args:
        engine: Has what is to be answered.
    """
    server = running_server()
    if server is None:
        return
    before = signal.getsignal(signal.SIGTERM)
    loop = asyncio.get_running_loop()
    running: list[asyncio.Task[None]] = []

    def drain() -> None:
        if not running:
            running.append(loop.create_task(_drain(engine, server, before)))

    def handle(_: int, __: FrameType | None) -> None:
        loop.call_soon_threadsafe(drain)

    signal.signal(signal.SIGTERM, handle)


async def _drain(engine: Engine, server: Any, before: Any) -> None:
    admission = engine.admission
    admission.draining = True
    _log.info("draining: %d requests are to be answered", admission.in_flight)
    deadline = time.monotonic() + engine.settings.drain_s
    while admission.in_flight + admission.arriving and time.monotonic() < deadline:
        if not engine.gave_up and time.monotonic() > deadline - _LAST_WORDS_S:
            _log.warning("draining: %d requests will not be answered in time", admission.in_flight)
            engine.give_up()
        await asyncio.sleep(_LOOK_S)
    await asyncio.sleep(_LINGER_S)
    for each in server.servers:
        for listening in each.sockets:
            await _refuse(listening.fileno(), deadline)
    # The server's own handler closes what is idle and ends.
    before(signal.SIGTERM, None)


async def _refuse(descriptor: int, deadline: float) -> None:
    """Let new connections be refused from now on, but none be reset: the queue is empty when it goes."""
    with socket.socket(fileno=os.dup(descriptor)) as listening:
        listening.listen(0)  # as short a queue as can be
        while _is_waiting(listening) and time.monotonic() < deadline:
            await asyncio.sleep(0)  # the server accepts what waits
        # Of all copies, the supervisor's too. A worker that is started again listens on it again.
        listening.shutdown(socket.SHUT_RDWR)


def _is_waiting(listening: socket.socket) -> bool:
    readable, _, _ = select.select([listening], [], [], 0)
    return bool(readable)
