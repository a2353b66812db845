"""A run that goes wrong, as a person sees it: told in the chat, stopped early, its report readable."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from mome.config import load_params
from mome.webhook import NOTIFY_URL
from pipelines.compile import compile_pipeline
from pipelines.execution import Stage, StageFailed, execute
from tests.components.conftest import write_corpus

ROOT = Path(__file__).parents[2]


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Any:
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv(NOTIFY_URL, f"http://127.0.0.1:{server.server_port}/hook")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield received
    server.shutdown()
    thread.join()
    server.server_close()


def run(name: str, folder: Path, changes: dict[str, Any], seen: list[str]) -> dict[str, Stage]:
    params = load_params(ROOT / "params.yaml")
    arguments = {
        "changes": changes,
        "corpus": str(write_corpus(folder / "talk", silent=True)),
        "registry": str(folder / "registry"),
    }
    return execute(
        compile_pipeline(name, params),
        arguments,
        root=folder / "runs",
        log=folder / "run.log",
        on_start=lambda stage: seen.append(f"start {stage.name}"),
        on_end=lambda stage: seen.append(f"end {stage.name}"),
    )


def test_bad_data_stops_the_run_behind_its_report_and_people_are_told(
    chat: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    seen: list[str] = []
    with pytest.raises(StageFailed, match=r"not_silent .*; mend or leave out these recordings") as failed:
        run("training_sharded", tmp_path, {"validate.min_utterances": {"train": 4}}, seen)
    # The verdict is part of the stage that judged: no stage of the name of a mechanism is shown.
    assert failed.value.stage.name == "validate"
    assert "start validate" in seen
    assert "end validate" not in seen
    assert not [line for line in seen if "require" in line or line.endswith(("configure", "notify"))]
    assert not [line for line in seen if line.endswith(("build_foundation", "train"))]
    assert "stopped: " in failed.value.stage.path("validation_report").read_text()
    assert len(chat) == 1
    assert chat[0].startswith("mome-training-sharded: run mome-training-sharded-")
    assert " FAILED\n" in chat[0]


def test_a_wrong_parameter_stops_the_run_before_anything_is_read(
    chat: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    seen: list[str] = []
    with pytest.raises(StageFailed, match=r"^train\.steps: .* got 'many'; correct it in the run's") as failed:
        run("training", tmp_path, {"train.steps": "many"}, seen)
    assert failed.value.stage.name == "configure"
    assert seen == []
    assert len(chat) == 1
