"""How much memory a run takes: the sum over the job and all processes that it started, at its highest."""

from __future__ import annotations

import resource
import threading
from types import TracebackType
from typing import Self

import psutil

__all__ = ["PeakMemory"]

EVERY_S = 0.5


class PeakMemory:
    """Watch the resident memory of this process and its descendants while the context is open.

    Memory that two processes share counts twice, so the figure is an upper bound; a process that
    lives shorter than half a second is still seen through its own maximum, which the kernel keeps.
    """

    def __init__(self) -> None:
        self._highest = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    @property
    def bytes(self) -> int:
        """Highest sum so far, in bytes."""
        child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # Linux counts in KiB
        return max(self._highest, child)

    def _watch(self) -> None:
        me = psutil.Process()
        while True:
            self._highest = max(self._highest, sum(_resident(process) for process in [me, *_descendants(me)]))
            if self._done.wait(EVERY_S):
                return


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it ended between the two looks
        return 0
