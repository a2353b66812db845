"""Time between false alarms, and to the answer to a shift: ``python -m monitoring.simulator.run_length``."""

from __future__ import annotations

import argparse
from datetime import timedelta
from pathlib import Path

import numpy as np

from mome.cli import main
from mome.config import MonitorParams
from mome.records import Evaluation
from mome.scales import Scale
from monitoring.change import ChangeTest
from monitoring.parameters import load_monitor_params
from monitoring.policy import decide
from monitoring.recent import Recent, relevant_levels
from monitoring.simulator.rules import BEGIN, request
from monitoring.simulator.world import KINDS, SCALES, World, evaluation, measure

__all__ = ["answer", "false_alarm"]

_BLOCK = 5000
_BEFORE = 150  # requests of the noise before a shift
_PATIENCE = 100
_CLIPS_DB = 1.5  # how far the clips of one place spread around its level


def false_alarm(snr_db: float, table: Evaluation, params: MonitorParams, rng: np.random.Generator) -> int:
    """Return after how many requests of one and the same babble the test says that it has changed."""
    test = ChangeTest(params.run_length, params.window)
    read = 0
    while True:
        levels, _ = measure(*_clips(snr_db, _BLOCK, rng), rng)
        for value in relevant_levels(table, levels.tolist()):
            read += 1
            if test.add(value):
                return read


def answer(
    before_db: float, after_db: float, table: Evaluation, params: MonitorParams, rng: np.random.Generator
) -> int:
    """Return the request after a shift of babble at which another scale is decided, or one past the last."""
    recent = Recent(table, params)
    now = BEGIN
    number = 0

    def follow(snr_db: float, count: int) -> None:
        nonlocal now, number
        levels, kinds = measure(*_clips(snr_db, count, rng), rng)
        for level, kind in zip(levels.tolist(), kinds, strict=True):
            now, number = now + timedelta(seconds=10), number + 1
            recent.add([request(number, now, level, kind)])

    follow(before_db, _BEFORE)
    settled = decide(
        recent.window(now), table, SCALES[0], [], params.model_copy(update={"consecutive_windows": 1}), now
    ).decision
    current = Scale.parse(settled.scale)
    decisions = [settled.model_copy(update={"switched": False})]
    for waited in range(1, _PATIENCE + 1):
        follow(after_db, 1)
        decision = decide(
            recent.window(now), table, current, decisions, params, now, recent.changed_at
        ).decision
        decisions.append(decision)
        if decision.switched:
            return waited
    return _PATIENCE + 1


def _clips(snr_db: float, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    kinds = np.full(count, KINDS.index("babble"))
    return kinds, snr_db + _CLIPS_DB * rng.standard_normal(count)


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.simulator.run_length",
        description="How long between false alarms, and how soon a shift is answered.",
    )
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--before", type=float, default=8.0, help="level of the babble in dB")
    parser.add_argument("--after", type=float, default=3.0, help="level of the babble in dB after the shift")
    parser.add_argument("--max-wer", type=float, default=0.04, help="promised to callers")
    parser.add_argument("--params", type=Path, default=Path("manifests/components/monitor/monitor.yaml"))
    given = parser.parse_args()
    params = load_monitor_params(given.params).model_copy(update={"max_wer": {"av": given.max_wer}})
    table = evaluation(World.published())
    rng = np.random.default_rng(given.seed)
    alarms = [false_alarm(given.before, table, params, rng) for _ in range(given.runs)]
    print(
        f"{given.runs} runs: {np.mean(alarms):.0f} requests between false alarms, asked {params.run_length}"
    )
    for first, then in ((given.before, given.after), (given.after, given.before)):
        waits = np.array([answer(first, then, table, params, rng) for _ in range(given.runs)])
        print(
            f"babble from {first:g} to {then:g} dB: switched at request {np.median(waits):.0f} (median), "
            f"{np.percentile(waits, 90):.0f} (90th of 100); within 10 in {np.mean(waits <= 10):.1%} of runs"
        )


if __name__ == "__main__":
    raise SystemExit(main(_command))
