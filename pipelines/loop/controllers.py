"""Controllers of one folder as processes: one is at work, the others wait for the lock to be free."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mome.errors import MonitorError
from serving.benchmark.server import REPOSITORY

__all__ = ["Controllers", "controlled"]

_FIRST_S = 300.0
_END_S = 60.0


class Controllers:
    """Processes of ``python -m monitoring.watch``; `controlled` starts and ends them.

    Args:
        command: Of each.
        log: File for what all of them say.
        count: How many.
    """

    def __init__(self, command: Sequence[str], log: Path, count: int) -> None:
        self._command, self._log = command, log
        self._processes = [self._start() for _ in range(count)]

    @property
    def pids(self) -> list[int]:
        """Process ids of those that live."""
        return [process.pid for process in self._processes if process.poll() is None]

    def replace(self) -> None:
        """Start anew what has ended."""
        for place, process in enumerate(self._processes):
            if process.poll() is not None:
                self._processes[place] = self._start()

    def wait_for(self, path: Path) -> None:
        """Wait until they have written a file.

        Raises:
            MonitorError: If all end before, or none writes it in time; the message has what they said.
        """
        deadline = time.monotonic() + _FIRST_S
        while not path.exists():
            if not self.pids or time.monotonic() > deadline:
                raise MonitorError(f"no controller wrote {path.name}: {self._log.read_text()[-2000:]}")
            time.sleep(0.05)

    def end(self) -> None:
        """Ask them to end, and wait for it."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            process.wait(_END_S)

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                cwd=REPOSITORY,
                env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


@contextmanager
def controlled(
    bundle: Path, requests: Path, state: Path, params: Path, log: Path, count: int = 1
) -> Iterator[Controllers]:
    """Let controllers decide for as long as the block lasts.

    Args:
        bundle: Folder of the served bundle.
        requests: Folder of the request log.
        state: Folder for the scale and the decisions; it exists.
        params: File whose section ``monitor`` counts.
        log: File for what they say.
        count: How many; one of them at a time is at work.
    """
    command = [sys.executable, "-m", "monitoring.watch", *map(str, (bundle.resolve(), requests, state))]
    controllers = Controllers([*command, "--params", str(params.resolve()), "--every", "5"], log, count)
    try:
        yield controllers
    finally:
        controllers.end()
