"""The process that decodes recordings, one after the other.

It reads an `Upload` or `Pictures` from the connection and answers with a `Decoded`, with several of a long
recording, or with `Mouths`; or with why there is none. A decoder that crashes, hangs or asks for all of
memory ends this process and nothing else.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from serving.child_process import ignore_signals
from serving.decode import Decoded, Upload, decode
from serving.errors import ApiError
from serving.pictures import Mouths, Pictures, look

__all__ = ["COMMAND", "Broken", "answers", "serve"]

# Followed by the connection's descriptor, bytes and seconds. Not ``-m``: what is pickled here must not
# belong to ``__main__``.
COMMAND = (sys.executable, "-c", "from serving.decoding_process import _main; _main()")

_PAGE = resource.getpagesize()
_SPARE_S = 5  # whoever asked has given up long before


@dataclass(frozen=True)
class Broken:
    """A decoder raised what it should not have: which class, and where.

    Never its words, which may be the file's.
    """

    error: str
    place: str


def answers(upload: Upload | Pictures) -> Iterator[Decoded | Mouths | ApiError | Broken]:
    """Decode one recording or look at pictures, whatever their decoder does.

    The last answer is no `Decoded`, or one that has ended.
    """
    try:
        if isinstance(upload, Pictures):
            yield look(upload)
        else:
            yield from decode(upload)
    except ApiError as error:
        yield error
    except Exception as error:  # noqa: BLE001 - whatever it is, the recording did it
        last = traceback.extract_tb(error.__traceback__)[-1]
        yield Broken(type(error).__name__, f"{Path(last.filename).name}:{last.lineno}")


def serve(connection: Connection, memory_bytes: int, timeout_s: int) -> None:
    """Answer until the other end is closed.

    Args:
        connection: Of the service.
        memory_bytes: What decoding may take beyond what this process takes already.
        timeout_s: After so long in one part of a recording the process ends itself, should nobody end it.
    """
    ignore_signals()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = _address_space() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    connection.send(None)  # ready
    # FFmpeg and libsndfile may print what stands in a file: names, titles.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    while True:
        try:
            upload = connection.recv()
            signal.alarm(timeout_s + _SPARE_S)
            for part in answers(upload):
                signal.alarm(0)  # whoever reads them takes the time that the model needs
                connection.send(part)
                signal.alarm(timeout_s + _SPARE_S)
            signal.alarm(0)
        except (EOFError, ConnectionError):
            return


def _address_space() -> int:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * _PAGE
    except OSError:  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _main() -> None:
    descriptor, memory_bytes, timeout_s = map(int, sys.argv[1:])
    serve(Connection(descriptor), memory_bytes, timeout_s)
