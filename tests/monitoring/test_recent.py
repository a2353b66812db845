"""A stream whose noise changes at a known request: what is kept, and what a look makes of it."""

from datetime import timedelta

import numpy as np

from mome.records import ScaleDecision
from mome.scales import Scale
from monitoring.policy import decide
from monitoring.recent import Recent, relevant_levels
from tests.monitoring.test_policy import COARSE, EVALUATION, FINE, NOON, PARAMS, request


def stream(levels: list[float]) -> Recent:
    recent = Recent(EVALUATION, PARAMS.model_copy(update={"window": 100}))
    recent.add(request(n, level, NOON + timedelta(seconds=n)) for n, level in enumerate(levels))
    return recent


def test_what_came_before_a_change_is_forgotten() -> None:
    rng = np.random.default_rng(0)
    recent = stream([*rng.normal(13, 1.5, 80).tolist(), *rng.normal(4, 1.5, 10).tolist()])
    kept = recent.window(NOON + timedelta(seconds=100))
    assert recent.changed_at == kept[0].at
    assert abs(int(kept[0].request_id[1:]) - 80) <= 1
    assert recent.is_new


def test_without_a_change_the_newest_stay_until_they_are_old() -> None:
    rng = np.random.default_rng(1)
    recent = stream(rng.normal(13, 1.5, 150).tolist())
    assert (recent.changed_at, recent.is_new) == (None, False)
    assert [each.request_id for each in recent.window(NOON + timedelta(seconds=150))] == [
        f"r{number}" for number in range(50, 150)
    ]
    assert len(recent.window(NOON + timedelta(seconds=149 + PARAMS.max_age_s))) == 1
    assert recent.window(NOON + timedelta(seconds=150 + PARAMS.max_age_s)) == []


def test_beyond_the_table_a_difference_is_none() -> None:
    assert relevant_levels(EVALUATION, [60.0, 35.0, 4.0, -30.0]) == [30.0, 30.0, 4.0, -4.0]
    assert stream([31.0 + number % 3 for number in range(50)] + [45.0] * 50).changed_at is None


def test_requests_without_speech_are_kept_and_not_tested() -> None:
    recent = stream([13.0, 14.0] * 20)
    recent.add([request(100, None, NOON + timedelta(seconds=100))] * 5)
    assert len(recent.window(NOON + timedelta(seconds=101))) == 45


def test_a_shift_is_switched_within_ten_requests_and_no_look_is_waited_for() -> None:
    rng = np.random.default_rng(2)
    params = PARAMS.model_copy(update={"window": 100, "consecutive_windows": 3, "cooldown_s": 900.0})
    recent = Recent(EVALUATION, params)
    levels = [*rng.normal(14, 1.5, 100).tolist(), *rng.normal(4, 1.5, 10).tolist()]
    current, history, switched = COARSE, list[ScaleDecision](), []
    for number, level in enumerate(levels):
        at = NOON + timedelta(seconds=number)
        recent.add([request(number, level, at, kind="babble")])
        decision = decide(
            recent.window(at), EVALUATION, current, history, params, at, recent.changed_at
        ).decision
        history.append(decision)
        current = Scale.parse(decision.scale)
        if decision.switched:
            switched.append(number)
    assert current == FINE
    assert len(switched) == 1
    assert 100 < switched[0] < 110
    said = next(each for each in history if each.switched)
    assert "the noise changed" in said.reason
    assert said.changed_at is not None


def test_nothing_measured_for_long_holds_and_then_serves_the_finest() -> None:
    history = [decide([request(n, 30.0) for n in range(20)], EVALUATION, COARSE, [], PARAMS, NOON).decision]
    soon, late = (
        NOON + timedelta(seconds=1.5 * PARAMS.max_age_s),
        NOON + timedelta(seconds=2.1 * PARAMS.max_age_s),
    )
    assert decide([], EVALUATION, COARSE, history, PARAMS, soon).decision.scale == str(COARSE)
    found = decide([], EVALUATION, COARSE, history, PARAMS, late).decision
    assert (found.scale, found.switched) == (str(FINE), True)
    assert "nothing was measured for 1200 s" in found.reason
    assert not decide([], EVALUATION, COARSE, [], PARAMS, late).decision.switched  # nothing ever came
