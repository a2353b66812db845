"""The process that answers for a worker that was killed.

It holds a copy of each connection on which the worker owes an answer, and what is to be said on it should the
worker never give one. While the worker lives nothing is said. As no copy but this one is left when the worker
is gone, its callers wait instead of being reset, and are told.

It knows connections and bytes, and imports little else: it has to outlive what it stands in for.
"""

from __future__ import annotations

import logging
import os
import resource
import selectors
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

from serving.child_process import ignore_signals

__all__ = ["COMMAND", "encoded", "serve"]

# Followed by the descriptor of the worker's end.
COMMAND = (sys.executable, "-c", "from serving.stand_in_process import _main; _main()")

_LONGEST = 64_000  # bytes of one message
_READ_OFF_S = 3.0  # in which callers who were still sending read what was said
_READ_AT_ONCE = 1 << 20

_log = logging.getLogger("serving.stand_in")


@dataclass
class _Owed:
    """A connection that waits for an answer."""

    connection: socket.socket
    request_id: str
    words: bytes


def encoded(number: int, request_id: str = "", words: bytes = b"") -> bytes:
    """Return a message of the worker: with a connection it is new, with words alone they are others.

    With neither, the request is answered.
    """
    return b"%d %s\n%s" % (number, request_id.encode(), words)


def serve(worker: socket.socket) -> None:
    """Hold what the worker owes until it ends, and then say on each connection what is to be said."""
    owed: dict[int, _Owed] = {}
    while True:
        try:
            message, descriptors, _, _ = socket.recv_fds(worker, _LONGEST, 1)
        except ConnectionError:
            break
        if not message:
            break
        head, _, words = message.partition(b"\n")
        number, _, request_id = head.decode().partition(" ")
        before = owed.pop(int(number), None)
        if descriptors:
            owed[int(number)] = _Owed(socket.socket(fileno=descriptors[0]), request_id, words)
        elif before is not None and words:
            owed[int(number)] = _Owed(before.connection, before.request_id, words)
        elif before is not None:
            before.connection.close()
    if owed:
        _say([*owed.values()])
        ids = ", ".join(each.request_id for each in owed.values())
        _log.warning("the worker ended and left %d requests, which were told so: %s", len(owed), ids)
        _read_off([*owed.values()])


def _say(owed: list[_Owed]) -> None:
    for each in owed:
        each.connection.setblocking(False)
        with suppress(OSError):  # the caller left, or reads nothing
            each.connection.send(each.words)
            each.connection.shutdown(socket.SHUT_WR)


def _read_off(owed: list[_Owed]) -> None:
    """Read what is still sent: closed upon while it comes, a connection is reset and all of it lost."""
    with selectors.DefaultSelector() as selector:
        for each in owed:
            selector.register(each.connection, selectors.EVENT_READ)
        deadline = time.monotonic() + _READ_OFF_S
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                try:
                    is_open = bool(connection.recv(_READ_AT_ONCE))
                except BlockingIOError:
                    continue
                except OSError:
                    is_open = False
                if not is_open:
                    selector.unregister(connection)
    for each in owed:
        each.connection.close()


def _main() -> None:
    ignore_signals()
    logging.basicConfig(format="%(asctime)s [%(levelname)s] %(name)s: %(message)s")
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.chdir("/")
    serve(socket.socket(fileno=int(sys.argv[1])))
