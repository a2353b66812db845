"""Ratios of paired repetitions, and what is said about them."""

import time

import pytest

from mome.benchmark.rows import Ratio, Row, Target, not_measured
from mome.benchmark.timing import row, time_in_turn


def test_ratios_are_taken_repetition_by_repetition() -> None:
    # The machine is ten times slower in the second repetition; the ratio is not.
    ratio = Ratio.of([2.0, 20.0, 3.0], [1.0, 10.0, 1.0])
    assert (ratio.median, ratio.low, ratio.high) == (2.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("target", "value", "reached", "text"),
    [
        (Target(low=3), 3.0, True, "≥ 3"),
        (Target(low=3), 2.99, False, "≥ 3"),
        (Target(high=1.08), 1.09, False, "≤ 1.08"),
        (Target(0.85, 1.15), 0.9, True, "0.85 to 1.15"),
        (Target(0.85, 1.15), 1.2, False, "0.85 to 1.15"),
    ],
)
def test_a_target_says_whether_it_was_reached(target: Target, value: float, reached: bool, text: str) -> None:
    measured = Row("x", 1.0, 1.0, Ratio(value, value, value), target)
    assert (target.reached(value), measured.verdict, str(target)) == (
        reached,
        "reached" if reached else "missed",
        text,
    )


def test_what_was_not_measured_is_no_success() -> None:
    assert not_measured("x", Target(low=8), "needs a GPU").verdict == "not measured"


def test_sides_are_timed_in_turn_and_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    now = 0.0

    def side(name: str, seconds: float) -> None:
        nonlocal now
        order.append(name)
        now += seconds

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    times = time_in_turn(
        {"slow": lambda: side("slow", 0.4), "fast": lambda: side("fast", 0.025)},
        "sides",
        repetitions=2,
        device="cpu",
    )
    # Two calls of each to warm up; a repetition lasts at least 0.05 s; then each side is first once.
    warm_up = ["slow", "slow", "fast", "fast"]
    assert order == [*warm_up, "slow", "fast", "fast", "fast", "fast", "slow"]
    measured = row("sides", times, "slow", "fast", Target(low=1.5))
    assert measured.ratio is not None
    assert (measured.before_s, measured.after_s) == pytest.approx((0.4, 0.025))
    assert measured.ratio.median == pytest.approx(16)
    turned = row("sides", times, "fast", "slow")
    assert turned.ratio is not None
    assert (turned.before_s, turned.ratio.high) == pytest.approx((0.4, 1 / 16))
