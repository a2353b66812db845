"""The whole loop once, in a reduced size, through the same command as `make run`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.local import REPORTS

ROOT = Path(__file__).parents[2]
STAGES = ["version_corpus", "prepare", "validate", "build_foundation", "train", "evaluate", "gate", "package"]
STAGES += ["rehearse", "promote"]

# Enough to go through every stage, not enough to learn: the gate's budget is wide open. One thread:
# on a busy machine two wait for each other longer than so little work takes.
REDUCED: dict[str, dict[str, Any]] = {
    "prepare": {"train_utterances": 60, "validation_utterances": 10, "test_utterances": 12},
    "foundation": {"utterances": 60, "audio_steps": 8, "video_steps": 8, "language_steps": 8, "threads": 1},
    "train": {"steps": 6, "checkpoint_every": 3, "threads": 1},
    "evaluate": {"snrs_db": ["clean", 0], "bootstrap_samples": 50, "max_new_tokens": 8, "threads": 1},
    "gate": {"max_wer": {"av": {"a4v2": 2.0, "a4v5": 2.0, "a16v2": 2.0, "a16v5": 2.0}}},
    "rehearse": {"requests_per_phase": 6, "check_every": 3},
    "monitor": {"window": 4, "min_requests": 3, "cooldown_s": 0.1},
}


class Loop:
    """A place to run the job in, with its own state and reports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, **changes: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        for sections in (REDUCED, changes):
            for section, values in sections.items():
                params[section].update(values)
        path = self.folder / "params.yaml"
        path.write_text(yaml.safe_dump(params))
        command = [sys.executable, "-m", "pipelines.local", "--params", str(path)]
        command += ["--state", str(self.folder / "var"), "--reports", str(self.folder / "reports")]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ)

    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads((self.folder / "reports" / "summary.json").read_text())
        return summary


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Loop:
    return Loop(tmp_path_factory.mktemp("loop"))


@pytest.fixture(scope="module")
def first(loop: Loop) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    done = loop.run()
    assert done.returncode == 0, done.stdout + done.stderr
    return done, loop.summary()


def test_every_stage_runs_and_every_figure_is_written(
    loop: Loop, first: tuple[subprocess.CompletedProcess[str], dict[str, Any]]
) -> None:
    done, summary = first
    assert list(summary["seconds"]) == STAGES
    assert summary["reused"] == []
    assert summary["gate"]["passed"]
    assert summary["requests"] == {"sent": 18, "answered": 18, "lost": 0}
    assert {"switches", "latency_ms", "peak_rss_bytes"} <= summary.keys()
    for page in REPORTS.values():
        assert (loop.folder / "reports" / "embedded" / f"{page}.html").stat().st_size > 0
    assert "Where to look" in done.stdout
    assert "KFP" not in done.stdout + done.stderr


def test_the_word_errors_are_those_of_the_stored_hypotheses(
    first: tuple[subprocess.CompletedProcess[str], dict[str, Any]],
) -> None:
    _, summary = first
    lines = [json.loads(line) for line in Path(summary["hypotheses"]).read_text().splitlines()]
    for modality, scales in summary["wer"].items():
        for scale, cells in scales.items():
            for snr, cell in cells.items():
                answers = [
                    line
                    for line in lines
                    if (line["modality"], line["scale"], line["noise"]) == (modality, scale, snr)
                ]
                assert cell["words"] == sum(len(line["reference"].split()) for line in answers)
                errors = sum(edits(line["reference"].split(), line["hypothesis"].split()) for line in answers)
                assert cell["errors"] == errors


def edits(reference: list[str], hypothesis: list[str]) -> int:
    """Levenshtein distance over words, written as its definition."""
    row = list(range(len(hypothesis) + 1))
    for i, word in enumerate(reference, 1):
        above, row = row, [i]
        for j, heard in enumerate(hypothesis, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (word != heard)))
    return row[-1]


def test_a_rejected_model_fails_the_run_with_its_report_and_is_not_packaged(
    loop: Loop, first: tuple[subprocess.CompletedProcess[str], dict[str, Any]]
) -> None:
    assert first
    done = loop.run(gate={"max_wer": {"av": {"a4v2": 0.0, "a4v5": 0.0, "a16v2": 0.0, "a16v5": 0.0}}})
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: gate: ")
    assert last.endswith("gate.html)")
    assert "Traceback" not in done.stdout + done.stderr
    summary = loop.summary()
    assert summary["failed"]["stage"] == "gate"
    assert not summary["gate"]["passed"]
    assert "package" not in summary["seconds"]
    # All before the gate was there already.
    assert summary["reused"] == ["prepare", "validate", "build_foundation", "train", "evaluate"]
