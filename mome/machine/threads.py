"""Threads of processes of which there is one for each core.

NumPy's products and OpenCV start as many threads as there are cores, in each of these processes, and a thread
that waits for another's turn does so by spinning: to prepare recordings took three times as long.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["ONE_THREAD", "one_thread_each"]

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_OF_PICTURES = {"OPENCV_FOR_THREADS_NUM": "1"}


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Let processes that are started meanwhile compute in one thread each.

    Libraries read it when they are loaded, so nothing changes in this process, and it need not last longer
    than it takes to start the others.
    """
    told = ONE_THREAD | _OF_PICTURES
    before = {name: os.environ[name] for name in told if name in os.environ}
    os.environ.update(told)
    try:
        yield
    finally:
        for name in told:
            del os.environ[name]
        os.environ.update(before)
