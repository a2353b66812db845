"""Two small services that answer as told, and the real router before them: for tests and for its figures."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from aiohttp import WSMsgType, web

from mome.errors import ServiceError

__all__ = ["FAULTS", "Backend", "Routed", "free_port", "routed", "serving"]

_ROOT = Path(__file__).resolve().parents[2]
_WORDS = (
    "place",
    "lay",
    "set",
    "bin",
    "red",
    "green",
    "blue",
    "white",
    "at",
    "by",
    "in",
    "with",
    "now",
    "soon",
)
FAULTS = (
    "fails",
    "resets",
    "refuses",
    "hangs",
    "is slow",
    "writes nonsense",
    "is empty",
    "fails one in five",
)


@dataclass
class Backend:
    """Answers ``POST /v1/audio/transcriptions`` with words that depend on the body alone.

    Args:
        version: What it says that it is.
        fault: One of `FAULTS`; empty for none.
        median_s: Of the time that an answer takes.
        different: Share of the words that it hears otherwise.
        cuts_stream: After how many events a stream breaks off; None for not.
        ending: How many requests are sent elsewhere, as by a pod that ends.
        estimated_wer: That it says of its texts; None says nothing.
    """

    version: str
    fault: str = ""
    median_s: float = 0.0
    different: float = 0.0
    cuts_stream: int | None = None
    ending: int = 0
    estimated_wer: float | None = None
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def app(self) -> web.Application:
        """Return its routes."""
        app = web.Application(client_max_size=100_000_000)
        app.router.add_post("/v1/audio/transcriptions", self._transcribe)
        app.router.add_get("/v1/socket", self._socket)
        app.router.add_route("*", "/{path:.*}", self._other)
        return app

    async def _transcribe(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.rel_url.raw_path_qs, dict(request.headers)))
        if self.ending:
            self.ending -= 1
            return web.json_response({}, status=503, headers={"Connection": "close"})
        draw = random.Random(body)
        said = [draw.choice(_WORDS) for _ in range(8)]
        mine = random.Random(body + self.version.encode())
        took_s = self.median_s * mine.lognormvariate(0, 0.2)
        await asyncio.sleep(5 * took_s if self.fault == "is slow" else took_s)
        headers = {"X-MoME-Version": self.version}
        flaky = self.fault == "fails one in five" and mine.random() < 0.2
        if self.fault == "fails" or flaky:
            return web.json_response({"error": {"message": "planted"}}, status=500, headers=headers)
        if self.fault == "resets":
            assert request.transport is not None
            request.transport.abort()
        if self.fault == "hangs":
            await asyncio.sleep(3600)
        if self.fault == "writes nonsense":
            said = ["mumble" for _ in said]
        if self.fault == "is empty":
            said = []
        said = ["mumble" if mine.random() < self.different else word for word in said]
        if b"stream=true" in body:
            return await self._stream(request, said, headers)
        if self.estimated_wer is not None:
            headers["X-MoME-Estimated-WER"] = f"{self.estimated_wer:.4f}"
        return web.json_response({"text": " ".join(said)}, headers=headers)

    async def _stream(
        self, request: web.Request, said: list[str], headers: dict[str, str]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers | {"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number, word in enumerate(said):
            if number == self.cuts_stream:
                assert request.transport is not None
                request.transport.abort()
                return response
            event = f'data: {{"type": "transcript.text.delta", "delta": "{word} "}}\n\n'
            await response.write(event.encode())
            await asyncio.sleep(0.01)
        done: dict[str, object] = {"type": "transcript.text.done", "text": " ".join(said)}
        if self.estimated_wer is not None:
            done["x_mome"] = {"estimated_wer": self.estimated_wer}
        await response.write(f"data: {json.dumps(done)}\n\n".encode())
        return response

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        response = web.WebSocketResponse(protocols=("speech",))
        await response.prepare(request)
        async for message in response:
            if message.type is WSMsgType.TEXT:
                await response.send_str(f"{self.version} {message.data}")
            else:
                await response.send_bytes(message.data[::-1])
        return response

    async def _other(self, request: web.Request) -> web.Response:
        self.requests.append((request.rel_url.raw_path_qs, dict(request.headers)))
        said = {"path": request.rel_url.raw_path_qs, "method": request.method}
        return web.json_response(said, headers={"X-MoME-Version": self.version})


@contextlib.contextmanager
def serving(*backends: Backend) -> Iterator[None]:
    """Let backends serve, in a thread; one that refuses connections has an address and nobody behind it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runners = []

    async def start(backend: Backend) -> web.AppRunner:
        runner = web.AppRunner(backend.app(), handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        backend.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    try:
        for backend in backends:
            if backend.fault == "refuses":
                backend.url = f"http://127.0.0.1:{free_port()}"
            else:
                runners.append(asyncio.run_coroutine_threadsafe(start(backend), loop).result(10))
        yield
    finally:
        for runner in runners:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass
class Routed:
    """A router in a process of its own, before a champion and a candidate."""

    url: str
    champion: Backend
    candidate: Backend
    process: subprocess.Popen[bytes]
    log: Path


@contextlib.contextmanager
def routed(folder: Path, mode: str, champion: Backend, candidate: Backend, *options: str) -> Iterator[Routed]:
    """Start the router as a manifest does, and end it with SIGTERM.

    Raises:
        ServiceError: If it does not come up.
    """
    with serving(champion, candidate):
        port = free_port()
        command = [sys.executable, "-m", "serving.rollout", mode, "--port", str(port), "--name", "planted"]
        command += ["--champion", champion.url, "--candidate", candidate.url, *options]
        log = folder / "router.log"
        with log.open("ab") as file:
            environment = os.environ | {"PYTHONPATH": str(_ROOT)}
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=file)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(url, process, log)
            yield Routed(url, champion, candidate, process, log)
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", timeout=1.0).status_code == 200:
                return
        time.sleep(0.05)
    raise ServiceError(f"the router did not start: {log.read_text()[-2000:]}")
