"""The simulator is run on days small enough for a test, and its figures are counted again."""

import json
import subprocess
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mome.errors import MonitorError
from mome.expectation import Noises, Surroundings
from mome.scale_choice import choose
from monitoring.parameters import load_monitor_params
from monitoring.simulator.__main__ import _command as command
from monitoring.simulator.__main__ import play
from monitoring.simulator.outcome import measure_outcome
from monitoring.simulator.rules import BEGIN, auto, fixed, monitor, oracle
from monitoring.simulator.run_length import answer, false_alarm
from monitoring.simulator.traffic import SCENARIOS, make
from monitoring.simulator.world import CLEAN_DB, KINDS, SCALES, World, evaluation, measure

ROOT = Path(__file__).parents[3]
PARAMS = load_monitor_params(ROOT / "manifests/components/monitor/monitor.yaml").model_copy(
    update={"max_wer": {"av": 0.04}}
)
WORLD = World.published()


def test_the_world_says_what_was_published() -> None:
    kinds, levels = np.zeros(4, int), np.array([CLEAN_DB, 5.0, 0.0, -5.0])
    rates = WORLD.wer(kinds, levels)
    assert rates[0] == pytest.approx([0.010, 0.025, 0.044, 0.180])
    assert rates[-1] == pytest.approx([0.019, 0.039, 0.059, 0.195])


def test_mean_rates_are_those_of_many_draws() -> None:
    rng = np.random.default_rng(0)
    drawn = WORLD.wer(np.zeros(200_000, int), 1.0 + 1.5 * rng.standard_normal(200_000)).mean(axis=1)
    assert WORLD.mean_wer(0, np.array([1.0]), 1.5)[:, 0] == pytest.approx(drawn, abs=3e-4)


def test_measurements_err_as_the_table_of_the_evaluation_says() -> None:
    rng = np.random.default_rng(0)
    for number, kind in enumerate(KINDS):
        levels, names = measure(np.full(20_000, number), np.zeros(20_000), rng)
        (told,) = (c for c in evaluation(WORLD).conditions if (c.noise, c.snr_db) == (kind, 0.0))
        assert np.percentile(levels, [10, 50, 90]) == pytest.approx(
            [told.low, told.estimated_snr_db, told.high], abs=0.1
        )
        assert names.count(kind) / 20_000 == pytest.approx(told.kinds[kind], abs=0.02)


def test_figures_are_those_of_a_plain_loop() -> None:
    traffic = make("changing rooms", 1.0, WORLD, seed=2)
    best = oracle(traffic, 0.04)
    chosen = np.where(np.arange(len(best)) % 500 < 3, 0, 3)
    found = measure_outcome(traffic, chosen, best, 0.04)
    tokens = [scale.tokens_per_second for scale in SCALES]
    spent = needed = outside = 0.0
    for n in range(len(best)):
        needed += (
            min(tokens[s] for s in range(4) if traffic.mean_wer[s, n] <= 0.04)
            if (traffic.mean_wer[:, n] <= 0.04).any()
            else tokens[int(traffic.mean_wer[:, n].argmin())]
        )
        spent += tokens[chosen[n]]
        outside += traffic.mean_wer[chosen[n], n] > 0.04 and (traffic.mean_wer[:, n] <= 0.04).any()
    assert found.tokens == pytest.approx(spent / needed)
    assert found.outside == pytest.approx(outside / len(best))
    assert found.switches == sum(a != b for a, b in pairwise(chosen))


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_has_rising_times_and_rates(name: str) -> None:
    traffic = make(name, 7.0, WORLD, seed=1)
    assert (np.diff(traffic.at) >= 0).all()
    assert ((traffic.mean_wer > 0) & (traffic.mean_wer < 0.25)).all()
    assert traffic.wer.mean() == pytest.approx(traffic.mean_wer.mean(), rel=0.05)
    assert (make(name, 7.0, WORLD, seed=1).snr_db == traffic.snr_db).all()


def test_the_monitor_spends_less_than_the_finest_and_keeps_what_the_coarsest_breaks() -> None:
    played = play("changing rooms", 1.5, PARAMS, seed=3)
    ours, finest, coarsest = (played.outcomes[name] for name in ("monitor", "always a4v2", "always a16v5"))
    assert ours.tokens < 1.25 < finest.tokens
    assert ours.outside < 0.03 < coarsest.outside
    assert played.outcomes["oracle"][:2] == (1.0, 0.0)
    assert (fixed(played.traffic, SCALES[0]) == 0).all()


def test_requests_of_their_own_scale_get_what_the_service_would_choose() -> None:
    table = evaluation(WORLD)
    traffic = make("half clean, half -5 dB", 0.3, WORLD, seed=4)
    decisions = monitor(traffic, table, PARAMS).decisions
    chosen = auto(traffic, table, PARAMS, decisions)
    noises = Noises(table.conditions)
    for number in range(0, len(chosen), 37):
        now = BEGIN + timedelta(seconds=float(traffic.at[number]))
        known = [each.noise for each in decisions if each.noise and each.at < now]
        shares = noises.likely(traffic.snr_db[[number]], [traffic.kind[number]], known[-1] if known else {})
        around = Surroundings("av", noises.columns, shares)
        assert SCALES[chosen[number]] == choose(table, [around], SCALES, PARAMS.promise).scale
    assert set(chosen) == {0, len(SCALES) - 1}


def test_a_scenario_that_is_none_is_named() -> None:
    with pytest.raises(MonitorError, match="unknown scenario 'war': expected one of day and night, slow"):
        play("war", 1.0, PARAMS, seed=1)


def test_the_help_names_every_scenario(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["simulator", "--help"])
    with pytest.raises(SystemExit) as ended:
        command()
    assert ended.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert all(" ".join(name.split()) in said for name in SCENARIOS)


def test_a_shift_is_answered_and_a_false_alarm_is_rare() -> None:
    rng = np.random.default_rng(0)
    table = evaluation(WORLD)
    assert np.median([answer(12.0, 2.0, table, PARAMS, rng) for _ in range(9)]) <= 10
    assert (
        np.mean(
            [false_alarm(8.0, table, PARAMS.model_copy(update={"run_length": 500}), rng) for _ in range(20)]
        )
        > 300
    )


def test_the_command_writes_a_page_pictures_and_figures(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "monitoring.simulator", "1 % outliers", "--days", "0.2"]
    found = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "| 1 % outliers | oracle | 1.00 |" in found.stdout
    figures = json.loads((tmp_path / "simulation.json").read_text())
    assert figures["1 % outliers"]["always a4v2"]["tokens"] > 2
    assert "</html>" in (tmp_path / "simulation.html").read_text()
    assert (tmp_path / "1-percent-outliers.svg").read_text().startswith("<svg")
