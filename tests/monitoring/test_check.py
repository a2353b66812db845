"""The whole look, on bundles and logs written to disk."""

import fcntl
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mome.errors import MonitorError
from mome.records import (
    GateDecision,
    NoiseKind,
    RetrainRequest,
    ScaleDecision,
)
from monitoring import check
from tests import planted
from tests.planted import condition, evaluation, monitor_params, table

pytest.importorskip("evidently", reason="the monitoring extra is not installed")

PARAMS = monitor_params(max_wer={"audio": 0.08})
RATES = {
    "a4v2": {"clean": 1, "babble_0": 4, "babble_-5": 9},
    "a16v5": {"clean": 3, "babble_0": 25, "babble_-5": 50},
}


class Site:
    """A bundle, a request log and a state folder, and a clock that only requests move."""

    def __init__(self, root: Path) -> None:
        self.bundle, self.requests, self.state = root / "bundle", root / "requests", root / "state"
        self.now = datetime.now(UTC)
        self.served = 0
        self.rng = np.random.default_rng(0)
        evaluation(
            {"audio": table(RATES)},
            conditions=[
                condition(snr_db=None, estimated_snr_db=30, low=25, high=40),
                condition(snr_db=0, estimated_snr_db=4, low=2, high=6),
                condition(snr_db=-5, estimated_snr_db=1, low=-1, high=3),
            ],
        ).write(self.bundle / "evaluation.json")
        GateDecision(
            passed=True, reason="within budget", checks=[], max_wer={"a4v2": 0.05, "a16v5": 0.10}
        ).write(self.bundle / "gate.json")
        pd.DataFrame(
            {
                "snr_db": self.rng.normal(30, 2, 100),
                "level_db": self.rng.normal(-25, 2, 100),
                "speech_share": self.rng.uniform(0.7, 0.9, 100),
                "mouth_sharpness": np.nan,
                "condition": "clean",
            }
        ).to_parquet(self.bundle / "baseline.parquet")

    def serve(self, snr_db: float, number: int = 20, kind: NoiseKind = "babble") -> None:
        self.requests.mkdir(exist_ok=True)
        with (self.requests / "worker.jsonl").open("a") as log:
            for _ in range(number):
                self.now += timedelta(seconds=1)
                self.served += 1
                record = planted.request(
                    f"r{self.served}",
                    self.now,
                    scale="a16v5",
                    snr_db=snr_db + self.rng.normal() / 10,
                    noise_kind=kind,
                    level_db=self.rng.normal(-25, 2),
                    speech_share=self.rng.uniform(0.7, 0.9),
                )
                log.write(record.model_dump_json() + "\n")

    def look(self, recordings: str = "") -> ScaleDecision:
        self.now += timedelta(milliseconds=5)
        return check.run(PARAMS, self.bundle, self.requests, self.state, now=self.now, recordings=recordings)

    @property
    def scale_file(self) -> Path:
        return self.state / "scale.json"

    def files(self) -> set[str]:
        return {path.name for path in self.state.iterdir()} - {"monitor.lock"}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_first_look_publishes_the_choice_for_clean_speech(site: Site) -> None:
    decision = site.look()
    assert (decision.scale, decision.previous, decision.switched) == ("a16v5", None, False)
    assert "first look" in decision.reason
    assert ScaleDecision.read(site.scale_file).scale == "a16v5"
    assert site.files() == {"scale.json", "decisions.jsonl"}


def test_a_look_serves_a_switch_on_record_that_was_not_served_and_nothing_older(site: Site) -> None:
    site.look()
    while not site.look().switched:
        site.serve(4.0, 10)
    switched = ScaleDecision.read(site.scale_file)
    switched.model_copy(
        update={"at": switched.at - timedelta(seconds=1), "scale": "a16v5", "previous": None}
    ).write(site.scale_file)
    assert (site.look().scale, ScaleDecision.read(site.scale_file)) == ("a4v2", switched)
    by_hand = switched.model_copy(update={"at": site.now, "scale": "a16v5"})
    by_hand.write(site.scale_file)  # later than what is on record: somebody wanted it so
    assert site.look().previous == "a16v5"


def test_noise_and_its_end_switch_twice_and_every_look_is_on_record(site: Site) -> None:
    site.look()
    for level in (30.0, 4.0, 30.0):
        for _ in range(4):
            site.serve(level, 10)
            site.look()
    lines = (site.state / "decisions.jsonl").read_text().splitlines()
    decisions = [ScaleDecision.model_validate_json(line) for line in lines]
    assert len(decisions) == 13
    assert [(d.previous, d.scale) for d in decisions if d.switched] == [("a16v5", "a4v2"), ("a4v2", "a16v5")]
    assert ScaleDecision.read(site.scale_file) == [d for d in decisions if d.switched][-1]
    assert not (site.state / "retrain.json").exists()


def test_the_scale_file_is_touched_only_by_a_switch_or_by_another_noise(site: Site) -> None:
    site.look()
    site.serve(30.0, 20)
    assert not site.look().switched
    assert ScaleDecision.read(site.scale_file).noise["clean"] > 0.99
    before = site.scale_file.stat()
    for _ in range(2):
        site.serve(30.0)
        site.look()
    after = site.scale_file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_drift_is_evidence_and_leaves_its_reports(site: Site) -> None:
    from evidently.core.report import Snapshot

    for _ in range(3):
        site.serve(4.0)
        decision = site.look()
    assert decision.drifted == ("snr_db",)
    assert len(list((site.state / "drift").glob("*.json"))) == 3
    snapshot = Snapshot.load(next((site.state / "drift").glob("*.json"))).dict()
    assert {metric["config"]["column"] for metric in snapshot["metrics"]} == {
        "snr_db",
        "level_db",
        "speech_share",
    }
    assert "</html>" in (site.state / "drift.html").read_text()


def test_drift_alone_never_switches(site: Site) -> None:
    # Cleaner than the baseline ever was: plainly different, and no reason to change anything.
    for _ in range(4):
        site.serve(60.0)
        decision = site.look()
        assert not decision.switched
    assert decision.drifted == ("snr_db",)


def test_noise_beyond_every_budget_asks_for_the_noise_to_be_learnt_once(site: Site) -> None:
    for _ in range(2):
        site.serve(1.0)
        site.look()
    request = RetrainRequest.read(site.state / "retrain.json")
    assert (request.snr_low_db, request.snr_high_db) == (
        pytest.approx(-5, abs=0.5),
        pytest.approx(-5, abs=0.5),
    )
    assert request.noise == "babble"
    site.serve(1.0)
    site.look()
    assert RetrainRequest.read(site.state / "retrain.json") == request
    for _ in range(2):
        site.serve(-6.0)  # seven decibels further down than the -5 dB condition looks
        site.look()
    wider = RetrainRequest.read(site.state / "retrain.json")
    assert wider.snr_low_db == pytest.approx(-12, abs=0.5)
    assert wider.snr_high_db == request.snr_high_db


@pytest.mark.parametrize(("days", "asked_again"), [(6, False), (7, True)])
def test_noise_that_stays_is_asked_about_again_after_a_week(site: Site, days: int, asked_again: bool) -> None:
    for _ in range(2):
        site.serve(1.0)
        site.look()
    first = RetrainRequest.read(site.state / "retrain.json")
    earlier = first.model_copy(update={"at": first.at - timedelta(days=days)})
    earlier.write(site.state / "retrain.json")
    site.serve(1.0)
    decision = site.look()
    found = RetrainRequest.read(site.state / "retrain.json")
    if asked_again:
        assert abs(found.at - decision.at) < timedelta(milliseconds=1)
        assert found.snr_low_db == pytest.approx(first.snr_low_db, abs=0.5)
    else:
        assert found == earlier


def test_a_damaged_wish_for_retraining_is_replaced(site: Site) -> None:
    site.state.mkdir()
    (site.state / "retrain.json").write_text("{")
    for _ in range(2):
        site.serve(1.0)
        site.look()
    assert RetrainRequest.read(site.state / "retrain.json").noise == "babble"


def test_the_wish_has_the_kind_and_the_recordings_and_another_noise_is_another_wish(site: Site) -> None:
    def wish() -> tuple[str, str]:
        found = RetrainRequest.read(site.state / "retrain.json")
        return found.noise, found.recordings

    for _ in range(2):
        site.serve(1.0, kind="steady")
        site.look()
    assert wish() == ("steady", "")
    site.serve(1.0, kind="steady")
    site.look("/noise/kitchen")
    assert wish() == ("steady", "/noise/kitchen")
    for _ in range(3):  # more bursts than steady noise, but not clearly: the wish does not go to and fro
        site.serve(1.0, 8, kind="steady")
        site.serve(1.0, 12, kind="bursts")
        site.look("/noise/kitchen")
        assert wish() == ("steady", "/noise/kitchen")
    site.serve(1.0, 20, kind="bursts")
    site.look("/noise/kitchen")
    assert wish() == ("bursts", "/noise/kitchen")


def test_a_half_written_decision_does_not_break_the_next_look(site: Site) -> None:
    site.serve(4.0)
    site.look()
    with (site.state / "decisions.jsonl").open("a") as file:
        file.write('{"at": "2026')  # the writer died here
    site.serve(4.0)
    assert site.look().switched  # the look before still counts
    assert len((site.state / "decisions.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("bundle/evaluation.json", None, r"evaluation\.json: no such file"),
        ("bundle/evaluation.json", "{}", r"evaluation\.json: not an? Evaluation"),
        ("bundle/baseline.parquet", "text", "not a parquet file"),
        ("state/scale.json", "{", "served scale is unknown"),
        ("requests/worker.jsonl", "no\nlog\n", "none of 2 lines"),
    ],
)
def test_an_input_that_cannot_be_used_holds_everything(
    site: Site, tmp_path: Path, file: str, content: str | None, message: str
) -> None:
    site.serve(30.0)
    site.look()
    before = {path: path.read_bytes() for path in site.state.rglob("*") if path.is_file()}
    path = tmp_path / file
    path.unlink()
    if content is not None:
        path.write_text(content)
        before[path] = content.encode()
    with pytest.raises(MonitorError, match=message):
        site.look()
    assert {path: path.read_bytes() for path in before if path.is_relative_to(site.state)} == {
        path: content for path, content in before.items() if path.is_relative_to(site.state)
    }


def test_a_scale_of_another_model_is_refused(site: Site) -> None:
    site.look()
    foreign = ScaleDecision.read(site.scale_file).model_copy(update={"scale": "a8v8"})
    foreign.write(site.scale_file)
    with pytest.raises(MonitorError, match="a8v8 is not in the bundle's table, which has a4v2, a16v5"):
        site.look()


def test_two_monitors_do_not_write_into_one_folder(site: Site) -> None:
    site.look()
    with (site.state / "monitor.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(MonitorError, match="another monitor is at work"):
            site.look()
    site.look()


def test_the_command_prints_the_decision_and_a_mistake_is_one_line(site: Site) -> None:
    root = Path(__file__).parents[2]
    command = [
        sys.executable,
        "-m",
        "monitoring.check",
        str(site.bundle),
        str(site.requests),
        str(site.state),
    ]
    environment = os.environ | {"PYTHONPATH": str(root)}
    found = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.startswith("a16v5: hold: 0 measured requests, 12 needed")
    (site.bundle / "evaluation.json").unlink()
    failed = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith("error: the bundle cannot be monitored")
    assert failed.stderr.count("\n") == 1
