"""A served package as a real process: started, waited for, and stopped with all its children."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from mome.errors import ServiceError

__all__ = ["Command", "bentoml_serve", "log_tail", "served"]

Command = Callable[[Path, int], Sequence[str]]  # folder of the Bento, port -> what to run

_HOST = "127.0.0.1"
_STOP_TIMEOUT_S = 20
_TAIL_LINES = 20
_KILLED = "; killed, as by a system short of memory: raise memory.limit of step rehearse"


def bentoml_serve(bento: Path, port: int) -> Sequence[str]:
    """Return the command that serves a Bento on this machine alone."""
    return [sys.executable, "-m", "bentoml", "serve", str(bento), "--host", _HOST, "--port", str(port)]


@contextmanager
def served(
    bento: Path, environment: Mapping[str, str], log: Path, startup_timeout_s: float, command: Command
) -> Iterator[str]:
    """Run the service for as long as the block lasts, and yield its address.

    Args:
        bento: Folder to serve.
        environment: Variables to set for it, beside those of this process.
        log: File for what it prints.
        startup_timeout_s: How long it may take until ``/readyz`` answers.
        command: What to run.

    Raises:
        ServiceError: If it ends or is not ready in time; the message has what it printed last.
    """
    port = _free_port()
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with log.open("wb") as output:
        # Neither working folder nor search path is the repository's: the package holds all that runs.
        process = subprocess.Popen(
            command(bento.resolve(), port),
            cwd=log.parent,
            env={**variables, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, so that the workers can be stopped with it
        )
    try:
        address = f"http://{_HOST}:{port}"
        _wait_until_ready(process, address, log, startup_timeout_s)
        yield address
    finally:
        _stop(process)


def log_tail(log: Path) -> str:
    """Return the last lines that the service printed."""
    lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    return "\n".join(lines) or "(it printed nothing)"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


def _wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    # A proxy set for the network outside must not be asked for this machine.
    with httpx.Client(trust_env=False, timeout=2.0) as client:
        while True:
            if process.poll() is not None:
                raise ServiceError(
                    f"the service ended with {process.returncode} before it was ready: {log_tail(log)}"
                    f"{_KILLED if process.returncode == -signal.SIGKILL else ''}"
                )
            with suppress(httpx.HTTPError):
                if client.get(f"{address}/readyz").status_code == httpx.codes.OK:
                    return
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"the service was not ready after {timeout_s:g} s: {log_tail(log)}; raise "
                    "rehearse.startup_timeout_s if it only needs longer"
                )
            time.sleep(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process group: politely, then for good, and whatever the first process left behind."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_TIMEOUT_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
