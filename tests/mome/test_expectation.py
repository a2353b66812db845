"""Measurements are placed as a plain loop places them, and a planted spread is taken out of them."""

import numpy as np
import pytest

from mome.expectation import Noises, Surroundings, expected_wer
from mome.scales import Scale
from tests.planted import condition, evaluation, table

CONDITIONS = [
    condition(None, 30, low=22, high=38),
    condition(5, 8, low=5, high=11),
    condition(-5, 1, low=-2, high=4),
    condition(0, 1, low=-1, high=3, noise="steady"),
]
RATES = {"a4v2": {"clean": 1, "babble_5": 3, "babble_-5": 20, "steady_0": 4}}
EVALUATION = evaluation({"av": table(RATES)}, conditions=CONDITIONS)
NOISES = Noises(CONDITIONS)


@pytest.mark.parametrize("level", [-9.0, 1.0, 4.5, 8.0, 19.0, 30.0, 50.0])
def test_many_are_placed_as_a_plain_loop_places_one(level: float) -> None:
    # Called babble: the line of babble, but for the thousandth of a name that no clip got.
    babble = np.interp(level, [1, 8, 30], [0, 1, 2])
    shares = NOISES.place_all([level, level], ["babble", "steady"])
    assert shares.sum(axis=1) == pytest.approx([1, 1])
    expected = {
        key: max(0.0, 1 - abs(babble - n)) for n, key in enumerate(("babble_-5", "babble_5", "clean"))
    }
    found = dict(zip(NOISES.columns, shares[0], strict=True))
    assert found == pytest.approx(expected | {"steady_0": 0.0}, abs=2e-3)
    assert NOISES.place(level, "babble") == pytest.approx({k: v for k, v in found.items() if v > 0})


def test_the_spread_of_the_estimator_is_taken_out_and_a_true_one_stays() -> None:
    rng = np.random.default_rng(0)
    error = 3 / 1.2816  # of babble at 5 dB and louder
    same = 5 + error * rng.standard_normal(4000)
    assert NOISES.without_error(same, ["babble"] * 4000).std() < 0.6
    assert NOISES.without_error(same, ["babble"] * 4000).mean() == pytest.approx(same.mean())
    true = 5 + 2.0 * rng.standard_normal(4000)
    spread = NOISES.without_error(true + error * rng.standard_normal(4000), ["babble"] * 4000)
    assert spread.std() == pytest.approx(2.0, abs=0.25)


def test_each_kind_is_taken_by_itself_and_a_lone_one_stays() -> None:
    levels = NOISES.without_error([4.0, 6.0, 30.0], ["babble", "babble", "none"])
    assert levels == pytest.approx([5.0, 5.0, 30.0])
    assert NOISES.without_error([], []).shape == (0,)


def test_the_expected_rate_is_that_of_the_mean_of_all_requests() -> None:
    shares = NOISES.place_all([1.0, 8.0, 30.0], ["babble"] * 3)
    found = expected_wer(EVALUATION, Surroundings("av", NOISES.columns, shares), [Scale(4, 2)])[Scale(4, 2)]
    each = [
        sum(RATES["a4v2"][key] * part for key, part in zip(NOISES.columns, row, strict=True))
        for row in shares
    ]
    assert found.rate == pytest.approx(np.mean(each) / 100)
    assert found.error == pytest.approx(np.std(each, ddof=1) / 100 / 3**0.5, abs=1e-6)


def test_what_one_clip_is_likely_surrounded_by_is_counted_in_many_draws() -> None:
    named = [CONDITIONS[0].model_copy(update={"kinds": {"none": 0.5, "babble": 0.5}}), *CONDITIONS[1:]]
    prior = {"clean": 0.6, "babble_5": 0.4}
    rng = np.random.default_rng(0)
    # One in ten comes from anywhere.
    truly = rng.choice(4, 2_000_000, p=0.9 * np.array([0.6, 0.4, 0.0, 0.0]) + 0.1 / 4)
    spread = np.array([(each.high - each.low) / (2 * 1.2816) for each in named])
    level = np.array([each.estimated_snr_db for each in named])[truly]
    level = level + spread[truly] * rng.standard_normal(len(truly))
    babble = np.where(truly == 0, rng.random(len(truly)) < 0.5, truly < 3)
    for measured in (4.0, 12.0, 16.0, 20.0):
        alike = truly[babble & (np.abs(level - measured) < 0.1)]
        counted = np.bincount(alike, minlength=4) / len(alike)
        (found,) = Noises(named).likely([measured], ["babble"], prior)
        assert found == pytest.approx(counted, abs=0.03)


def test_beyond_the_table_a_clip_is_like_its_end_and_nothing_known_before_is_all_alike() -> None:
    for beyond, end in ((-15.0, 1.0), (40.0, 30.0)):
        far, near = NOISES.likely([beyond, end], ["babble", "babble"], {"clean": 1.0})
        assert far == pytest.approx(near)
    (found,) = NOISES.likely([1.0], ["babble"], {})
    assert dict(zip(NOISES.columns, found, strict=True))["babble_-5"] > 0.9


def test_clear_is_what_nearly_all_clean_clips_are() -> None:
    assert [NOISES.is_clear(level) for level in (40.0, 22.0, 21.9, 8.0)] == [True, True, False, False]
