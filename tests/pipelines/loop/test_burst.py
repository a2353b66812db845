"""More callers than a real service carries at its finest scale, a real controller, and a planted model."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mome.bundle import Bundle
from pipelines.loop.burst import Side, played, promising, table
from serving.benchmark.load import Answers, Rate
from serving.benchmark.recordings import calls
from serving.benchmark.server import REPOSITORY

LATENCY_MS = 1500.0
CARRIED_PER_S = 3.0  # at the finest scale: three words of 0.11 s, one request after the other
RATES = [Rate(1.5, 6), Rate(6.0, 12), Rate(1.5, 2)]


def test_in_a_burst_the_monitor_serves_a_coarser_scale_and_few_wait_too_long(
    bundle: Bundle, code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("PAUSE_S", "0.01"), ("FINEST_PAUSE_S", "0.11")):
        monkeypatch.setenv(f"PLANTED_{name}", value)
    monkeypatch.setenv("MOME_MAX_BATCH", "1")
    params = promising(REPOSITORY / "params.yaml", LATENCY_MS, tmp_path)

    side = played(bundle, params, tmp_path, RATES, calls(12, (), with_lips=False), None, code)

    assert side.count == sum(int(rate.per_s * rate.seconds) + 1 for rate in RATES)
    assert sum(side.scales.values()) == side.count
    _, burst, _ = RATES
    too_many = (burst.per_s - CARRIED_PER_S) * burst.seconds - CARRIED_PER_S * LATENCY_MS / 1000
    assert side.missed(LATENCY_MS) < too_many / 2
    switch = next(each for each in side.decisions if each.switched)
    assert (switch.previous, switch.scale, switch.cause) == ("a4v2", "a16v5", "load")
    shown = table([side], LATENCY_MS)
    assert f"| {side.count}, 6.00 | monitor | {side.missed(LATENCY_MS)} (0 refused) |" in shown
    assert "a4v2 → a16v5 by load: coarser: " in shown


@pytest.mark.parametrize(("late", "is_held"), [(5, True), (6, False)])
def test_a_burst_is_held_that_leaves_five_of_a_hundred_waiting_too_long(late: int, is_held: bool) -> None:
    side = _side("always a4v2", 2.0, late)

    assert side.holds(LATENCY_MS) is is_held
    assert side.missed(LATENCY_MS) == late


def test_the_table_says_how_many_times_the_burst_the_monitor_holds() -> None:
    sides = [
        _side("always a4v2", 2.0, 0),
        _side("monitor", 2.0, 0),
        _side("always a4v2", 3.0, 40),
        _side("monitor", 3.0, 1),
        _side("always a4v2", 4.0, 80),
        _side("monitor", 4.0, 30),
    ]

    shown = table(sides, LATENCY_MS)

    assert "- always a4v2: a burst of 2.00 a second is held\n" in shown
    assert "- monitor: a burst of 3.00 a second is held, 1.50 times the first" in shown


def test_a_way_that_holds_no_burst_says_so() -> None:
    shown = table([_side("always a4v2", 2.0, 50), _side("monitor", 2.0, 50)], LATENCY_MS)

    assert "- always a4v2: none of the bursts is held\n" in shown
    assert "- monitor: none of the bursts is held" in shown


def _side(name: str, per_s: float, late: int) -> Side:
    """Return a hundred callers of a burst, of whom some wait too long, and one is refused in their stead."""
    slow = [2.0 * LATENCY_MS / 1000] * max(0, late - 1)
    burst = Answers(latencies_s={200: slow + [0.1] * (100 - late), 429: [0.01] * min(1, late)})
    calm = Answers(latencies_s={200: [0.1] * 10})
    rates = [Rate(1.0, 10), Rate(per_s, 50), Rate(1.0, 10)]
    return Side(name, rates, [calm, burst, calm], datetime.now(UTC), [])
