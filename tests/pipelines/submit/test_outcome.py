"""The verdict is the gate's: neither a lost pod nor somebody who ends a run speaks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mome.records import GateDecision
from tests.pipelines.planted_server import Server
from tests.pipelines.submit.submission import BEFORE, DONE, JUDGE, LOG, submit

NO = GateDecision(passed=False, reason="budget of a4v2: 9.0%", checks=[], max_wer={}).model_dump_json()
YES = GateDecision(passed=True, reason="all checks hold", checks=[], max_wer={}).model_dump_json()
REFUSED = LOG.format("GateRejected: budget of a4v2: 9.0%")
STOPPED = dict.fromkeys(BEFORE, "SUCCEEDED") | {JUDGE: "FAILED"}
JUDGED = dict.fromkeys(BEFORE, "SUCCEEDED")
UNPROMOTED = DONE | {"promote": "FAILED"}


@pytest.mark.parametrize(
    ("state", "steps", "logs", "verdict", "words"),
    [
        # The step that stands for the gate failed.
        ("FAILED", STOPPED, {}, "rejected", "not good enough"),
        ("FAILED", STOPPED, {"gate": NO}, "rejected", "budget of a4v2"),
        ("FAILED", STOPPED, {JUDGE: REFUSED}, "rejected", "budget of a4v2"),
        ("FAILED", STOPPED, {"gate": YES}, "failed", f"the gate passed the model, but step {JUDGE} broke"),
        ("FAILED", STOPPED, {"gate": YES, JUDGE: "epoch 1\n"}, "failed", "out of memory?"),
        ("FAILED", STOPPED, {"gate": YES, JUDGE: REFUSED}, "failed", "but step"),
        # It did not.
        ("SUCCEEDED", DONE, {"gate": YES}, "passed", "promoted"),
        ("SUCCEEDED", DONE, {"gate": NO}, "failed", "although the gate said no: budget of a4v2"),
        ("FAILED", UNPROMOTED, {"gate": YES}, "failed", "promote"),
        ("FAILED", UNPROMOTED, {"promote": REFUSED}, "rejected", "budget of a4v2"),
        # Somebody ended the run, and with it the pods that were at work.
        ("CANCELED", STOPPED, {}, "cancelled", "somebody"),
        ("CANCELED", STOPPED, {JUDGE: "epoch 1\n"}, "cancelled", "somebody"),
        ("CANCELED", STOPPED, {"gate": NO}, "rejected", "budget of a4v2"),
        ("CANCELED", STOPPED, {JUDGE: REFUSED}, "rejected", "budget of a4v2"),
        ("CANCELED", JUDGED, {"gate": NO}, "rejected", "budget of a4v2"),
        ("CANCELED", JUDGED, {"gate": YES}, "cancelled", "somebody"),
    ],
)
def test_the_verdict_is_what_the_gate_said(
    server: Server,
    tmp_path: Path,
    state: str,
    steps: dict[str, str],
    logs: dict[str, str],
    verdict: str,
    words: str,
) -> None:
    server.story, server.logs = [(state, steps)], logs
    code, result, _ = submit(server, tmp_path)
    assert result["outcome"]["verdict"] == verdict, result["outcome"]
    assert code == {"passed": 0, "rejected": 3}.get(verdict, 4)
    assert words in result["outcome"]["reason"]
