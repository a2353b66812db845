"""One run at a time in a state folder, and nothing of a killed run left behind."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from mome.errors import MomeError

__all__ = ["exclusive"]

MARK = "MOME_RUN"  # environment variable that every process of a run inherits
PATIENCE_S = 5.0


@contextmanager
def exclusive(state: Path) -> Iterator[None]:
    """Hold the state folder for this process; end what an earlier, killed run still has at work in it.

    A step outlives a job that was ended with ``kill -9``; two trainings that write into the same
    folder would spoil each other.

    Raises:
        MomeError: If another run holds the folder.
    """
    state.mkdir(parents=True, exist_ok=True)
    with (state / "run.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MomeError(f"{state}: another run is at work here; wait for it, or stop it") from None
        mark = str(state.resolve())
        _end(mark)
        os.environ[MARK] = mark
        try:
            yield
        finally:
            del os.environ[MARK]
            _end(mark)


def _end(mark: str) -> None:
    """End every other process that carries the mark, gently at first."""
    mine = {process.pid for process in psutil.Process().parents()} | {os.getpid()}
    found = [
        process for process in psutil.process_iter() if process.pid not in mine and _mark(process) == mark
    ]
    for process in found:
        _signal(process, gently=True)
    for process in psutil.wait_procs(found, timeout=PATIENCE_S)[1]:
        _signal(process, gently=False)


def _mark(process: psutil.Process) -> str | None:
    try:
        environment: dict[str, str] = process.environ()
    except psutil.Error:  # somebody else's, or gone
        return None
    return environment.get(MARK)


def _signal(process: psutil.Process, gently: bool) -> None:
    with suppress(psutil.Error):
        process.terminate() if gently else process.kill()
