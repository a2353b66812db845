"""The notebook in examples/: its cells, run in their order against a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mome.records import GateDecision
from tests.pipelines.planted_server import Server
from tests.pipelines.submit.submission import ROOT
from tests.planted import evaluation, table

NOTEBOOK = ROOT / "examples" / "start_a_run.ipynb"


def test_the_notebook_starts_a_run_and_shows_the_word_errors_that_the_gate_saw(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    decision = GateDecision(passed=True, reason="all hold", checks=["ok: budget of a4v2"], max_wer={})
    judged = evaluation({"av": table({"a4v2": {"clean": 4, "0": 9}, "a16v5": {"clean": 7, "0": 30}})})
    server.logs = {"gate": f"{judged.model_dump_json()}\n{decision.model_dump_json()}\n"}
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", server.address)
    monkeypatch.setenv("KF_PIPELINES_TOKEN_FILE", "")
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    monkeypatch.chdir(ROOT)
    notebook = json.loads(NOTEBOOK.read_text())
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec("".join(cell["source"]).replace("result.json", f"{tmp_path}/result.json"), names)
    assert names["code"] == 0
    sent = server.runs[0].runtime_config["parameters"]
    assert sent["corpus"] == "embedded"
    assert names["errors"].to_dict("index") == {
        "a4v2": {"clean": 4.0, "0": 9.0},
        "a16v5": {"clean": 7.0, "0": 30.0},
    }
    shown = capsys.readouterr().out
    assert "0 passed" in shown
    assert "ok: budget of a4v2" in shown


def test_every_package_that_the_notebook_imports_is_pinned() -> None:
    pinned = (ROOT / "constraints.txt").read_text()
    for package in ("kfp", "kfp-kubernetes", "pandas"):
        assert f"\n{package}==" in f"\n{pinned}"
