"""A real service in processes of its own, for as long as it is measured."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from mome.errors import ServiceError

__all__ = ["REPOSITORY", "Server", "running"]

_WORKER = "_bentoml_impl.worker.service"  # what each of BentoML's workers runs
REPOSITORY = Path(__file__).resolve().parents[2]
_START_S = 300.0
_END_S = 60.0


@dataclass(frozen=True)
class Server:
    """Where it listens, and its processes."""

    url: str
    process: psutil.Process

    def memory_bytes(self) -> int:
        """Return what all of its processes have in memory."""
        return sum(each.memory_info().rss for each in self._all())

    def processor_s(self) -> float:
        """Return the processor time of all of its processes that live."""
        return sum(sum(each.cpu_times()[:2]) for each in self._all())

    def workers(self) -> list[psutil.Process]:
        """Return the processes that answer requests; the supervisor replaces those that end."""
        found = []
        for child in self.process.children():
            with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                if _WORKER in child.cmdline():
                    found.append(child)
        return found

    def _all(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@contextmanager
def running(
    bundle: Path, code: Path = REPOSITORY, settings: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Start the service, and end it.

    Args:
        bundle: What it serves.
        code: Repository whose code it runs.
        settings: Environment variables of its own.

    Raises:
        ServiceError: If it does not come up; the message ends with what it said.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="mome-benchmark-") as folder:
        environment = os.environ | {
            "BENTOML_HOME": folder,
            "BENTOML_DO_NOT_TRACK": "True",
            "PYTHONPATH": str(code),
            "MOME_BUNDLE": str(bundle.resolve()),
            **(settings or {}),
        }
        command = [sys.executable, "-m", "bentoml", "serve", "serving.service:MomeService"]
        command += ["--working-dir", str(code), "--host", "127.0.0.1", "--port", str(port)]
        log = Path(folder) / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(command, cwd=code, env=environment, stdout=file, stderr=file)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(url, process, log)
            yield Server(url, psutil.Process(process.pid))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=_END_S)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=1.0).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise ServiceError(f"the service did not start: {log.read_text()[-2000:]}")
