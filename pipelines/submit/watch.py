"""Wait for a run to end, and show each step as it changes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from pipelines.calls import OutOfTime
from pipelines.submit.tasks import ENDED, UNKNOWN, Task, tasks_of

__all__ = ["RunTimeout", "watch"]

LINE_EVERY_S = 300.0  # where nobody looks at a terminal, so that a log shows that the wait goes on


class RunTimeout(Exception):
    """Time was over before the run had ended, or before it was its turn.

    Args:
        run: As it was seen last; None if it was not seen.
        reason: What it hung on, if that was not the run itself.
    """

    def __init__(self, run: Any | None, reason: str = "") -> None:
        super().__init__(reason)
        self.run = run
        self.reason = reason


def watch(
    get: Callable[[], Any],
    names: Sequence[str],
    *,
    every_s: float,
    until: float,
    stream: IO[str] | None = None,
) -> Any:
    """Return the run once it has ended.

    Args:
        get: Returns kfp's ``V2beta1Run`` as it is now.
        names: Steps of the pipeline, in the order of showing.
        every_s: Seconds between two looks.
        until: Moment of `time.monotonic` at which the wait is over; ``get`` has to keep to it, too.
        stream: Where to show it; standard error by default.

    Raises:
        RunTimeout: If it has not ended by then.
    """
    lines = _Lines(stream or sys.stderr)
    run = None
    while True:
        try:
            run = get()
        except OutOfTime as error:
            raise RunTimeout(run, str(error)) from error
        state = str(run.state or "PENDING").upper()
        lines.show(state, tasks_of(run, names))
        if state in ENDED:
            lines.end(state, _silent(state, tasks_of(run, names), names))
            return run
        left = until - time.monotonic()
        if left <= 0:
            raise RunTimeout(run)
        time.sleep(min(every_s, left))


def _silent(state: str, tasks: Mapping[str, Task], names: Sequence[str]) -> list[str]:
    """Return the steps whose end the server's list does not tell, of a run that has ended as ``state``."""
    # A run that failed did not begin all of them.
    never = state == "SUCCEEDED"
    return [name for name in names if (tasks[name].state == UNKNOWN if name in tasks else never)]


class _Lines:
    """One line per change; on a terminal the wait itself shows under them."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._began = self._said = time.monotonic()
        self._states: dict[str, tuple[str, int]] = {}

    def show(self, state: str, tasks: dict[str, Task]) -> None:
        for name, task in tasks.items():
            now = (task.state, task.done)
            if self._states.get(name) != now and task.state not in ("PENDING", UNKNOWN):
                self._say(_line(task))
                self._states[name] = now
        running = [name for name, task in tasks.items() if task.state == "RUNNING"]
        waiting = f"  {', '.join(running) or state.lower()}, {_minutes(time.monotonic() - self._began)}"
        if self._live:
            end = "\n" if state in ENDED else ""
            print(f"\r\033[K{'' if end else waiting}", end="", file=self._stream, flush=True)
        elif time.monotonic() - self._said >= LINE_EVERY_S:
            self._say(waiting)

    def end(self, state: str, silent: Sequence[str]) -> None:
        if silent:
            steps = ", ".join(name.replace("-", "_") for name in silent)
            self._say(f"  {state.lower()}; the server's list of steps does not tell how these ended: {steps}")

    def _say(self, line: str) -> None:
        start = "\r\033[K" if self._live else ""
        print(f"{start}{line}", file=self._stream, flush=True)
        self._said = time.monotonic()


def _line(task: Task) -> str:
    name = f"  {task.name.replace('-', '_'):<22}"
    turns = f"  {task.done} of {task.turns}" if task.turns > 1 else ""
    took = "" if task.seconds is None or task.state == "RUNNING" else f"  {task.seconds:7.1f} s"
    return f"{name} {task.state.lower():<10}{took}{turns}".rstrip()


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
