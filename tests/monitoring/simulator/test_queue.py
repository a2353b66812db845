"""Callers before workers: a queue that is played again by a plain loop, and a burst of a few minutes."""

import numpy as np
import pytest

from mome.scales import Scale
from monitoring.simulator.callers import held_rate, missed
from monitoring.simulator.queue import arrivals, play, service_s, windows_outside
from monitoring.simulator.world import SCALES, World, evaluation
from tests.monitoring.simulator.test_simulator import PARAMS

WORLD = World.published()
TABLE = evaluation(WORLD)
SPARE = PARAMS.model_copy(update={"max_latency_ms": 10_000.0, "spend": "spare"})


def test_service_times_are_those_that_were_measured() -> None:
    assert service_s(Scale(4, 2), 10.0) == pytest.approx(4.81)
    assert service_s(Scale(16, 5), 10.0) == pytest.approx(2.98)
    assert 2.98 < service_s(Scale(16, 2), 10.0) < service_s(Scale(4, 5), 10.0) < 4.81
    assert service_s(Scale(4, 2), 5.0) == pytest.approx(4.81 / 2)


def test_callers_are_served_as_a_plain_loop_serves_them() -> None:
    callers = arrivals([(600.0, 0.6), (300.0, 1.5)], 10.0, np.random.default_rng(3))
    played = play(callers, 3, TABLE, None, np.random.default_rng(0))
    ends = [0.0, 0.0, 0.0]
    for number, at_s in enumerate(callers.at_s):
        worker = min(range(3), key=lambda each: ends[each])
        begins_s = max(ends[worker], at_s)
        if begins_s - at_s > 30:
            assert played.latency_s[number] == np.inf
            continue
        ends[worker] = begins_s + service_s(SCALES[0], callers.duration_s[number])
        assert played.latency_s[number] == pytest.approx(ends[worker] - at_s)
    assert np.isinf(played.latency_s).any()


def test_in_a_burst_the_monitor_is_late_for_few_and_keeps_its_promise_on_words() -> None:
    callers = arrivals([(400.0, 0.75), (300.0, 2.2), (100.0, 0.75)], 10.0, np.random.default_rng(1))
    stays = play(callers, 8, TABLE, None, np.random.default_rng(0))
    follows = play(callers, 8, TABLE, SPARE, np.random.default_rng(0), reaches_s=1.0)
    assert 5 * missed(follows.latency_s, 10.0) < missed(stays.latency_s, 10.0)
    assert windows_outside(callers, follows, WORLD, 0.04)[0] == 0
    assert (follows.scale[callers.at_s < 400] == 0).all()  # nobody waited
    switches = [(each.scale, each.cause) for each in follows.decisions if each.switched]
    assert switches[0] == ("a16v5", "load")


def test_more_callers_are_held_at_a_scale_that_takes_less() -> None:
    rates = [
        held_rate(
            lambda callers, scale=scale: play(callers, 4, TABLE, None, np.random.default_rng(0), scale),
            2.0,
            10.0,
            1,
        )
        for scale in (SCALES[0], SCALES[-1])
    ]
    assert 0.5 * 4 / 4.81 < rates[0] < 4 / 4.81
    assert rates[1] / rates[0] > 1.5
