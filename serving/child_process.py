"""Processes beside a worker, which talk with it over one descriptor and end when it is closed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mome.machine.threads import ONE_THREAD

__all__ = ["ignore_signals", "start_child"]

_ROOT = Path(__file__).resolve().parents[1]
# glibc gives every larger array back, and the next one has to pay for its pages anew: up to 32 MiB are kept.
_KEPT = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**25)}


def start_child(command: Sequence[str], descriptor: int, *arguments: int) -> subprocess.Popen[bytes]:
    """Start one; it gets the descriptor, under its number here, and nothing else that is open.

    Args:
        command: Takes the number, and then the arguments.
        descriptor: Of its end of the connection; the caller closes it here.
        arguments: What else it is told.
    """
    # A supervisor sends SIGTERM to children, too: it has to wait until they are ready to ignore it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        return subprocess.Popen(
            [*command, str(descriptor), *map(str, arguments)],
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            env=_environment(),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_signals() -> None:
    """Leave it to the worker when to end; to be called by a child first of all."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # blocked while this process started


def _environment() -> dict[str, str]:
    # A Bento's code is on no path but this process's own.
    path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**_KEPT, **os.environ, **ONE_THREAD, "PYTHONPATH": path}
