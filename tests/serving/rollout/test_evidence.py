"""Evidence: exact against a plain product, rare where there is nothing, quick where there is something."""

import math
import random

import pytest
from scipy.stats import binomtest

from serving.rollout.evidence import _STAKES, Evidence, interval


def test_the_wealth_is_the_mean_of_what_the_bets_have_made() -> None:
    values = [0.0, 1.0, 0.25, 0.0, 1.0, 1.0, 0.5]
    evidence = Evidence(0.2)
    for value in values:
        evidence.add(value)
    made = [math.prod(1 + stake / 0.2 * (value - 0.2) for value in values) for stake in _STAKES]
    wealth = sum(made) / len(made)
    assert wealth > 1
    assert evidence.reaches(1.0001 / wealth)
    assert not evidence.reaches(0.9999 / wealth)


@pytest.mark.parametrize("bound", [0.02, 0.25, 0.98])
def test_at_its_bound_a_mean_raises_an_alarm_in_less_than_the_stated_share_of_all_sequences(
    bound: float,
) -> None:
    def is_alarmed(seed: int) -> bool:
        draw, evidence = random.Random(seed), Evidence(bound)
        for _ in range(500):
            evidence.add(float(draw.random() < bound))
            if evidence.reaches(0.1):
                return True
        return False

    # 0.1 and three standard deviations of a share of 300.
    assert sum(map(is_alarmed, range(300))) / 300 <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / 300)


def test_what_is_far_above_its_bound_is_seen_after_a_few_values() -> None:
    evidence, needed = Evidence(0.02), 0
    while not evidence.reaches(0.0125):
        evidence.add(1.0)
        needed += 1
    assert needed <= 3


def test_a_bound_without_an_inside_is_refused() -> None:
    for bound in (0.0, 1.0, 1.5):
        with pytest.raises(ValueError, match="between 0 and 1"):
            Evidence(bound)


@pytest.mark.parametrize(("total", "number"), [(0, 40), (3, 50), (500, 1000), (7, 7)])
def test_the_interval_is_wilsons(total: int, number: int) -> None:
    expected = binomtest(total, number).proportion_ci(0.95, method="wilson")
    assert interval(total, number) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_nothing_is_known_of_no_values() -> None:
    assert interval(0, 0) == (0.0, 1.0)
