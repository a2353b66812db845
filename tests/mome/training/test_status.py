"""Progress is posted as Kubeflow Trainer's own models read it, over TLS, and nothing stops a training."""

from __future__ import annotations

import json
import logging
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from kubeflow_trainer_api.models import TrainerV1alpha1UpdateTrainJobStatusRequest
from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.integration_utils import KubeflowCallback

from mome.training import status
from mome.training.status import reporting


class Server(ThreadingHTTPServer):
    """Keeps what is posted; waits ``pause_s`` before it answers with ``answer``."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: list[str] = []
        self.tokens: list[str] = []
        self.answer, self.pause_s = 200, 0.0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.server.tokens.append(self.headers["Authorization"])
        time.sleep(self.server.pause_s)
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Start a server as the controller names it."""
    servers: list[Server] = []

    def start(*, tls: bool = False) -> Server:
        server = Server()
        if tls:
            key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
            command = [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "1",
                "-subj",
                "/CN=t",
            ]
            command += [
                "-addext",
                "subjectAltName=IP:127.0.0.1",
                "-keyout",
                str(key),
                "-out",
                str(certificate),
            ]
            subprocess.run(command, check=True, capture_output=True)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_CA_CERT", str(certificate))
        (tmp_path / "token").write_text("first\n")
        monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_TOKEN", str(tmp_path / "token"))
        scheme = "https" if tls else "http"
        monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_URL", f"{scheme}://127.0.0.1:{server.server_port}/status")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def eventually(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_what_is_posted_is_what_trainer_reads(
    served: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(status, "_EVERY_S", 0.05)
    server = served(tls=True)
    with reporting(8) as report:
        report(1, {"loss": 2.5, "validation_wer": 0.5})
        eventually(lambda: len(server.bodies) == 1)
        (tmp_path / "token").write_text("renewed")
        time.sleep(0.2)
        report(3, {"loss": 1.5})
        eventually(lambda: len(server.bodies) == 2)
    first, second, last = (
        TrainerV1alpha1UpdateTrainJobStatusRequest.from_json(body).trainer_status for body in server.bodies
    )
    assert [each.progress_percentage for each in (first, second, last)] == [12, 37, 100]
    assert {each.name: each.value for each in second.metrics} == {
        "loss": "1.5",
        "validation_wer": "0.5",
        "current_step": "3",
        "total_steps": "8",
    }
    assert first.estimated_remaining_seconds is None  # one step says nothing of the others
    assert 0 <= second.estimated_remaining_seconds < 60
    assert last.estimated_remaining_seconds == 0
    assert last.last_updated_time is not None
    assert server.tokens == ["Bearer first", "Bearer renewed", "Bearer renewed"]


def test_it_is_said_as_transformers_says_it(
    served: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = served()
    callback = KubeflowCallback()
    state = TrainerState(max_steps=8, global_step=3, epoch=None)
    callback.on_train_begin(TrainingArguments(str(tmp_path)), state, TrainerControl())
    callback.on_log(None, state, None, logs={"loss": 1.5})
    callback._last_update_time = 0.0
    callback.on_step_end(None, state, None)
    theirs = json.loads(server.bodies[-1])["trainerStatus"]
    server.bodies.clear()
    with reporting(8) as report:
        report(3, {"loss": 1.5})
        eventually(lambda: len(server.bodies) == 1)
    ours = json.loads(server.bodies[0])["trainerStatus"]
    assert ours["progressPercentage"] == theirs["progressPercentage"]
    by_name = [{each["name"]: each["value"] for each in found["metrics"]} for found in (ours, theirs)]
    assert by_name[0] == by_name[1]
    assert ours.keys() <= theirs.keys()


def test_steps_do_not_wait_for_a_slow_server_and_few_of_them_are_posted(
    served: Callable[..., Server],
) -> None:
    server = served()
    server.pause_s = 0.5
    started = time.monotonic()
    with reporting(1000) as report:
        for step in range(1, 1001):
            report(step, {"loss": 1.0})
        waited_s = time.monotonic() - started
    assert waited_s < 0.4, "a thousand posts, or one that is waited for"
    assert len(server.bodies) <= 2
    assert json.loads(server.bodies[-1])["trainerStatus"]["progressPercentage"] == 100


@pytest.mark.parametrize("fault", ["refuses", "an error", "no token", "no address"])
def test_a_server_that_does_not_take_it_is_logged_once_and_stops_nothing(
    served: Callable[..., Server],
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(status, "_EVERY_S", 0.05)
    server = served()
    if fault == "refuses":
        server.shutdown()
        server.server_close()
    elif fault == "an error":
        server.answer = 503
    elif fault == "no token":
        monkeypatch.delenv("KUBEFLOW_TRAINER_SERVER_TOKEN")
    else:
        monkeypatch.setenv("KUBEFLOW_TRAINER_SERVER_URL", "file:///etc/passwd")
    with reporting(10) as report:
        for step in (1, 2):
            report(step, {})
            time.sleep(0.3)
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    assert "does not take the progress" in said.getMessage()


def test_a_training_that_fails_is_never_called_done(served: Callable[..., Server]) -> None:
    server = served()
    with pytest.raises(PlantedError), reporting(10) as report:
        report(4, {})
        eventually(lambda: len(server.bodies) == 1)
        raise PlantedError
    assert [json.loads(body)["trainerStatus"]["progressPercentage"] for body in server.bodies] == [40]


class PlantedError(Exception):
    pass


def test_without_a_server_and_in_the_other_processes_nothing_is_sent(
    served: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = served()
    before = threading.active_count()
    with reporting(10, wanted=False) as report:
        report(1, {})
        assert threading.active_count() == before
    monkeypatch.delenv("KUBEFLOW_TRAINER_SERVER_URL")
    with reporting(10) as report:
        report(1, {})
    assert not server.bodies
