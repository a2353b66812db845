"""The controller's pages: decisions as HTML and JSON, metrics, and whether it is alive."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from mome.errors import MonitorError
from monitoring.journal import read_decisions
from monitoring.metrics import Metrics
from monitoring.report import page

__all__ = ["serve_pages"]

_SHOWN = timedelta(days=1)


@contextmanager
def serve_pages(host: str, port: int | None, state: Path, metrics: Metrics) -> Iterator[int | None]:
    """Serve the pages meanwhile, and yield the port; without a port nothing is served.

    Args:
        host: Address to listen on.
        port: To listen on; 0 takes a free one.
        state: Folder of the monitor.
        metrics: To expose.

    Raises:
        MonitorError: If the port cannot be had.
    """
    if port is None:
        yield None
        return
    try:
        server = _Server((host, port), state, metrics)
    except OSError as error:
        raise MonitorError(f"cannot listen on {host}:{port}: {error}") from error
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], state: Path, metrics: Metrics) -> None:
        super().__init__(address, _Handler)
        self.state, self.metrics = state, metrics


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10.0  # of a caller that sends nothing

    def do_GET(self) -> None:
        """Answer one of four paths."""
        path = self.path.partition("?")[0]
        if path == "/healthz":
            return self._answer(b"ok\n", "text/plain")
        if path == "/metrics":
            return self._answer(generate_latest(self.server.metrics.registry), CONTENT_TYPE_LATEST)
        if path not in ("/", "/decisions.json"):
            return self._answer(b"expected /, /decisions.json, /metrics or /healthz\n", "text/plain", 404)
        decisions = read_decisions(self.server.state / "decisions.jsonl", datetime.now(UTC) - _SHOWN)
        if path == "/":
            return self._answer(page(decisions).encode(), "text/html; charset=utf-8")
        content = [decision.model_dump(mode="json") for decision in decisions]
        return self._answer(json.dumps(content).encode() + b"\n", "application/json")

    def _answer(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: a probe asks every few seconds."""
