"""Progress with the time left: a bar on a terminal, a line every ten seconds elsewhere.

A step of the pipeline runs in a process of its own whose output goes to a log file. The job that
started it hands its own error stream down as a path in ``MOME_PROGRESS``, so that the bars of the
step still appear in front of the person who waits.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, MutableMapping, Sized
from pathlib import Path
from typing import IO, Any, TypeVar

from tqdm import tqdm

__all__ = ["PROGRESS_VARIABLE", "progress"]

PROGRESS_VARIABLE = "MOME_PROGRESS"
LINE_EVERY_S = 10.0
BAR_AFTER_S = 1.0  # what is done sooner needs no bar
FORECAST_AFTER_S = 10.0  # or a twentieth: how long the first item took says little of the others

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
            yield from _Bar(
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


class _Bar(tqdm):  # type: ignore[misc]  # tqdm has no types
    """A bar that forecasts when it can."""

    @property
    def format_dict(self) -> MutableMapping[str, Any]:
        """What is shown, as tqdm asks for it."""
        known = super().format_dict
        if not _can_forecast(known["n"], known["total"], known["elapsed"]):
            known["bar_format"] = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}]"
        return known


def _lines(iterable: Iterable[T], description: str, total: int | None, stream: IO[str]) -> Iterator[T]:
    started = reported = time.monotonic()
    first = started  # when the first item was there: before it lies whatever had to be started
    for done, item in enumerate(iterable):
        now = time.monotonic()
        if done == 0:
            first = now
        elif now - reported >= LINE_EVERY_S:
            reported = now
            state = _state(done, total, now - started, now - first)
            print(f"  {description}: {state}", file=stream, flush=True)
        yield item


def _state(done: int, total: int | None, elapsed_s: float, at_work_s: float) -> str:
    if not total:
        return f"{done} done, {_minutes(elapsed_s)} so far"
    if not _can_forecast(done, total, at_work_s):
        return f"{done} of {total}, {_minutes(elapsed_s)} so far"
    return f"{done} of {total}, {_minutes(at_work_s / done * (total - done))} left"


def _can_forecast(done: int, total: int | None, at_work_s: float) -> bool:
    return bool(total) and (20 * done >= (total or 0) or at_work_s >= FORECAST_AFTER_S)


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
