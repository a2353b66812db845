"""The test for a change beside a plain loop over SciPy's ranks, and its run length beside the promised."""

import numpy as np
import pytest
from scipy.stats import norm, rankdata

from monitoring.change import ChangeTest, threshold


def plain(values: list[float], run_length: int) -> tuple[int, int] | None:
    """Return at which value a change is called, and how many lie after it, without any running sum."""
    high = threshold(run_length)
    scores = [
        norm.ppf((rankdata(values[: number + 1])[-1] - 0.5) / (number + 1)) for number in range(len(values))
    ]
    for last in range(len(values)):
        for side in (1, -1):
            # The largest sum of scores up to here is what a CUSUM is.
            sums = [
                (sum(side * score - 0.7 for score in scores[first : last + 1]), first)
                for first in range(last + 1)
            ]
            most, first = max(sums)
            if most > high:
                return last, last + 1 - first
    return None


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shift", [-6.0, 0.0, 6.0])
def test_a_change_is_called_where_a_plain_loop_calls_it(seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(10, 2, 40), rng.normal(10 + shift, 2, 20)]).round(1).tolist()
    test = ChangeTest(10_000, memory=1000)
    called = [(number, after) for number, value in enumerate(values) if (after := test.add(value))]
    assert (called[0] if called else None) == plain(values, 10_000)


def test_the_threshold_is_siegmunds() -> None:
    # The textbook's value for k = 1/2 in both directions and a run length of 370.
    assert threshold(370, 0.5) == pytest.approx(4.77, abs=0.05)
    # The formula, forwards: half as many alarms in each direction.
    b = threshold(10_000, 0.7) + 1.166
    assert (np.exp(1.4 * b) - 1.4 * b - 1) / (2 * 0.49) == pytest.approx(20_000)


@pytest.mark.parametrize("draw", ["normal", "mixed", "tied"])
def test_false_alarms_are_as_rare_as_promised_whatever_the_values_are_like(draw: str) -> None:
    rng = np.random.default_rng(7)
    size = 60_000
    values = {
        "normal": rng.normal(size=size),
        "mixed": np.where(rng.random(size) < 0.5, 25.0, -5.0) + rng.normal(size=size),
        "tied": rng.integers(0, 4, size).astype(float),
    }[draw]
    test = ChangeTest(1000, memory=200)
    alarms = sum(test.add(value) > 0 for value in values.tolist())
    # At least the promised run length, and not so much that the test would sleep; ties make it longer.
    assert alarms <= 1.3 * size / 1000
    assert draw == "tied" or alarms >= 0.4 * size / 1000


def test_a_shift_of_two_standard_deviations_is_called_within_ten_values() -> None:
    rng = np.random.default_rng(1)
    waited = []
    for _ in range(100):
        test = ChangeTest(10_000, memory=200)
        for value in rng.normal(size=150).tolist():
            test.add(value)
        waited.append(
            next(n for n, value in enumerate(rng.normal(2.0, 1.0, 200).tolist(), 1) if test.add(value))
        )
    assert np.mean(np.array(waited) <= 10) > 0.9


def test_what_lies_before_a_change_is_forgotten_and_evidence_starts_over() -> None:
    test = ChangeTest(10_000, memory=50)
    assert test.evidence == 0.0
    for number in range(50):
        test.add(number % 7)
    after = [test.add(100.0 + number) for number in range(10)]
    assert [each for each in after if each] == [after.index(max(after)) + 1]
    assert test.evidence < 1.0
    assert [test.add(100.0 + number % 10) for number in range(50)] == [0] * 50
