"""The summary says what the records say, and a run that stopped early says how far it came."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from mome.records import (
    GateDecision,
    Latency,
    Rehearsal,
    RequestCounts,
    ScaleDecision,
    Switch,
    WordErrors,
)
from pipelines.execution import Stage, StageFailed
from pipelines.summary import describe, summarise, write_summary
from tests.planted import evaluation

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def stages(tmp_path: Path) -> dict[str, Stage]:
    """Stages as a run leaves them, with planted numbers."""

    def stage(name: str, output: str, seconds: float) -> Stage:
        folder = tmp_path / name
        return Stage(name, folder, seconds, False, {output: SimpleNamespace(path=str(folder / output))})

    cell = WordErrors(errors=3, words=60, low=0.01, high=0.09)
    clean = WordErrors(errors=0, words=60, low=0.0, high=0.0)
    row = {"-5": cell, "10": cell, "clean": clean}
    found = {name: stage(name, output, 2.0) for name, output in OUTPUTS.items()}
    evaluation({"av": {"a16v5": row, "a4v2": row}}, corpus="toy", revision="abc").write(
        found["evaluate"].path("evaluation") / "evaluation.json"
    )
    GateDecision(passed=True, reason="all checks hold", checks=["a"], max_wer={"a4v2": 0.05}).write(
        found["gate"].path("decision") / "gate.json"
    )
    Rehearsal(
        corpus="toy",
        revision="abc",
        snr_db=0.0,
        requests=RequestCounts(sent=4, answered=4, lost=0),
        switches=[
            Switch(
                at=START + timedelta(seconds=75),
                from_scale="a16v5",
                to_scale="a4v2",
                snr_db=1.5,
                reason="noisier",
            )
        ],
        latency_ms={"a16v5": Latency(p50=41.4, p95=60.0, requests=4)},
        wer={},
        played=[],
        decisions=[
            ScaleDecision(
                at=START,
                scale="a16v5",
                previous=None,
                switched=False,
                snr_db=None,
                requests=0,
                reason="first",
            )
        ],
    ).write(found["rehearse"].path("rehearsal") / "rehearsal.json")
    return found


OUTPUTS = {"evaluate": "evaluation", "gate": "decision", "rehearse": "rehearsal"}


def test_every_figure_comes_from_its_record(stages: dict[str, Stage]) -> None:
    summary = summarise(stages, hypotheses=Path("reports/toy/hypotheses.jsonl"), peak_rss_bytes=2**30)
    assert summary["wer"]["av"]["a4v2"]["10"] == {"errors": 3, "words": 60, "low": 0.01, "high": 0.09}
    assert summary["hypotheses"] == "reports/toy/hypotheses.jsonl"
    assert summary["gate"] == {"passed": True, "reason": "all checks hold"}
    assert summary["switches"] == [
        {
            "at": "2026-01-02T03:05:20.000+00:00",
            "from": "a16v5",
            "to": "a4v2",
            "snr_db": 1.5,
            "reason": "noisier",
        }
    ]
    assert summary["requests"] == {"sent": 4, "answered": 4, "lost": 0}
    assert summary["latency_ms"] == {"a16v5": {"p50": 41.4, "p95": 60.0}}
    assert summary["seconds"] == {"evaluate": 2.0, "gate": 2.0, "rehearse": 2.0}
    assert summary["peak_rss_bytes"] == 2**30


def test_the_page_shows_noise_growing_to_the_right_and_the_finest_scale_first(
    stages: dict[str, Stage],
) -> None:
    summary = summarise(stages, hypotheses=None, peak_rss_bytes=0)
    lines = describe(summary, stages, {"gate": Path("gate.html")}).splitlines()
    assert lines[1].split() == ["av", "clean", "10", "-5"]
    assert lines[2].split() == ["a4v2", "0.0", "5.0", "5.0"]
    assert lines[3].split()[0] == "a16v5"
    assert "Gate: passed. all checks hold" in lines
    assert "  1:15  a4v2   noisier" in lines
    assert "  gate  gate.html" in lines


def test_a_run_that_failed_says_where_and_why(stages: dict[str, Stage], tmp_path: Path) -> None:
    failure = StageFailed(stages["gate"], "too many errors")
    del stages["rehearse"]
    paths = [tmp_path / "own" / "summary.json", tmp_path / "summary.json"]
    write_summary(summarise(stages, hypotheses=None, peak_rss_bytes=0), failure, paths)
    written = json.loads(paths[1].read_text())
    assert written == json.loads(paths[0].read_text())
    assert written["failed"] == {"stage": "gate", "reason": "too many errors"}
    assert "switches" not in written
