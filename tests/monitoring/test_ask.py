"""A wish for a new training is sent once, and what the monitor sends is what CI takes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mome.errors import MomeError, MonitorError
from mome.records import RetrainRequest
from monitoring.ask import ask
from pipelines.submit.triggers import read_trigger

REQUEST = RetrainRequest(
    at=datetime(2026, 11, 20, 12, tzinfo=UTC),
    snr_low_db=-7.5,
    snr_high_db=2.0,
    noise="continuous",
    reason="no scale within budget at -5.0 dB",
)


class GitHub:
    """Where dispatches go; answers as it is told."""

    def __init__(self) -> None:
        self.status = 204
        self.sent: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        planted = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                planted.headers.append(dict(self.headers))
                planted.sent.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(planted.status)
                self.send_header("Location", "https://elsewhere.example.org")
                self.end_headers()

            def log_message(self, *_values: object) -> None:
                pass

        self.listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.listener.server_port}/repos/o/r/dispatches"
        threading.Thread(target=self.listener.serve_forever, kwargs={"poll_interval": 0.02}).start()


@pytest.fixture
def github() -> Iterator[GitHub]:
    server = GitHub()
    yield server
    server.listener.shutdown()
    server.listener.server_close()


def test_a_wish_is_sent_once_and_a_new_one_again(github: GitHub, tmp_path: Path) -> None:
    assert not ask(tmp_path, github.address, "secret")
    REQUEST.write(tmp_path / "retrain.json")
    assert ask(tmp_path, github.address, "secret")
    assert not ask(tmp_path, github.address, "secret")
    REQUEST.model_copy(update={"at": REQUEST.at + timedelta(days=7)}).write(tmp_path / "retrain.json")
    assert ask(tmp_path, github.address, "secret")
    assert len(github.sent) == 2
    assert github.headers[0]["Authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"reason": "p < 0.01 at [0 dB]\n::add-mask:: ≤ @all"},
        {"reason": "x" * 900},
        {"snr_low_db": -44.0, "snr_high_db": 71.0},
        {"recordings": "/noise/kitchen"},  # nobody outside may say what a training reads
    ],
)
def test_what_is_sent_is_what_the_workflow_takes(
    github: GitHub, tmp_path: Path, changed: dict[str, Any]
) -> None:
    REQUEST.model_copy(update=changed).write(tmp_path / "retrain.json")
    assert ask(tmp_path, github.address, "secret")
    (sent,) = github.sent
    assert sent["event_type"] == "snr-drift"
    trigger = read_trigger("snr-drift", json.dumps(sent["client_payload"]))
    assert trigger.reason == (REQUEST.reason if not changed.get("reason") else trigger.reason)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "not known"),
        (403, "may not dispatch"),
        (404, "no such repository"),
        (422, "versions"),
        (503, "503; the next call"),
        (302, "302"),
    ],
)
def test_what_was_not_taken_is_sent_by_the_next_call(
    github: GitHub, tmp_path: Path, status: int, said: str
) -> None:
    REQUEST.write(tmp_path / "retrain.json")
    github.status = status
    with pytest.raises(MonitorError, match=said) as refused:
        ask(tmp_path, github.address, "secret")
    assert "secret" not in str(refused.value)
    github.status = 204
    assert ask(tmp_path, github.address, "secret")


def test_a_place_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    REQUEST.write(tmp_path / "retrain.json")
    with pytest.raises(MonitorError, match=r"127\.0\.0\.1 cannot be reached .*; the next call tries again"):
        ask(tmp_path, "http://127.0.0.1:9/repos/o/r/dispatches", "secret")


@pytest.mark.parametrize(
    ("address", "token", "said"),
    [
        ("http://api.example.org/dispatches", "secret", "begins with https"),
        ("file:///etc/passwd", "secret", "begins with https"),
        ("https://api.example.org/dispatches", " ", "MOME_DISPATCH_TOKEN is not set"),
    ],
)
def test_a_token_goes_nowhere_without_encryption(tmp_path: Path, address: str, token: str, said: str) -> None:
    REQUEST.write(tmp_path / "retrain.json")
    with pytest.raises(MonitorError, match=said):
        ask(tmp_path, address, token)


def test_a_damaged_wish_is_an_error_and_a_damaged_memory_is_none(github: GitHub, tmp_path: Path) -> None:
    (tmp_path / "retrain.json").write_text("{")
    with pytest.raises(MomeError, match=r"retrain\.json: not a RetrainRequest"):
        ask(tmp_path, github.address, "secret")
    REQUEST.write(tmp_path / "retrain.json")
    (tmp_path / "retrain.sent.json").write_text("{")
    assert ask(tmp_path, github.address, "secret")
