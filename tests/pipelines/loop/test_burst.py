"""More callers than a real service carries at its finest scale, a real controller, and a planted model."""

from __future__ import annotations

from pathlib import Path

import pytest

from mome.bundle import Bundle
from pipelines.loop.burst import played, promising, table
from serving.benchmark.load import Rate
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
    shown = table([side], RATES, LATENCY_MS)
    assert f"| {side.count} | monitor | {side.missed(LATENCY_MS)} (0 refused) |" in shown
    assert "a4v2 → a16v5 by load: coarser: " in shown
