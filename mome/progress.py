"""Progress with the time left: a bar on a terminal, a line every ten seconds elsewhere.

A step of the pipeline runs in a process of its own whose output goes to a log file. The job that
started it hands its own error stream down as a path in ``MOME_PROGRESS``, so that the bars of the
step still appear in front of the person who waits.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import IO, TypeVar

from tqdm import tqdm

__all__ = ["PROGRESS_VARIABLE", "progress"]

PROGRESS_VARIABLE = "MOME_PROGRESS"
LINE_EVERY_S = 10.0
BAR_AFTER_S = 1.0  # what is done sooner needs no bar

T = TypeVar("T")


def progress(iterable: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield the items and show how far the loop is.

    Args:
        iterable: What to loop over.
        description: One or two words, shown in front.
        total: Number of items; taken from the iterable where it knows its length.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    stream, ours = _stream()
    try:
        if stream.isatty():
            # A terminal that does not know its width says 0, and tqdm would show nothing there.
            columns = os.get_terminal_size(stream.fileno()).columns or 80
            yield from tqdm(
                iterable, description, total, file=stream, delay=BAR_AFTER_S, leave=False, ncols=columns
            )
        else:
            yield from _lines(iterable, description, total, stream)
    finally:
        if ours:
            stream.close()


def _stream() -> tuple[IO[str], bool]:
    """Return where to show progress, and whether it was opened here."""
    path = os.environ.get(PROGRESS_VARIABLE)
    if path:
        try:
            return Path(path).open("a"), True
        except OSError:  # a socket, or the job that waited is gone: the log file still takes the lines
            pass
    return sys.stderr, False


def _lines(iterable: Iterable[T], description: str, total: int | None, stream: IO[str]) -> Iterator[T]:
    started = reported = time.monotonic()
    for done, item in enumerate(iterable):
        now = time.monotonic()
        if done and now - reported >= LINE_EVERY_S:
            reported = now
            print(f"  {description}: {_state(done, total, now - started)}", file=stream, flush=True)
        yield item


def _state(done: int, total: int | None, elapsed_s: float) -> str:
    if not total:
        return f"{done} done, {_minutes(elapsed_s)} so far"
    return f"{done} of {total}, {_minutes(elapsed_s / done * (total - done))} left"


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
