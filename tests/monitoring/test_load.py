"""How busy a service is, on logs as its workers write them, and what the policy makes of it."""

from datetime import timedelta

import numpy as np
import pytest

from mome.config import MonitorParams
from mome.errors import ConfigError
from mome.records import Load, RequestRecord, ScaleDecision
from monitoring.load import measure_load
from monitoring.policy import clean_scale, decide, propose
from tests.monitoring.test_policy import COARSE, EVALUATION, FINE, MIDDLE, NOON, PARAMS, request

PROMISED = PARAMS.model_copy(update={"max_latency_ms": 1000.0, "cooldown_s": 30.0, "window": 100})
SPARE = PROMISED.model_copy(update={"spend": "spare"})


def log(
    count: int, latency_ms: float, waited_ms: float | None = 0.0, every_s: float = 1.0, **changed: object
) -> list[RequestRecord]:
    """Return that many requests of two seconds, the last of them at noon."""
    return [
        request(n, 30.0, NOON - timedelta(seconds=every_s * (count - 1 - n))).model_copy(
            update={"latency_ms": latency_ms, "waited_ms": waited_ms, **changed}
        )
        for n in range(count)
    ]


def load(*, busy: bool) -> Load:
    return Load(
        requests=9, refused=0, p95_ms=900.0, waited_p95_ms=500.0, speech_s_per_s=2.0, busy=busy, since=NOON
    )


def test_figures_are_those_of_the_last_seconds() -> None:
    window = [
        each.model_copy(update={"latency_ms": float(n), "waited_ms": n / 2})
        for n, each in enumerate(log(40, 0.0))
    ]
    found = measure_load(window, None, NOON, PROMISED)
    assert found is not None
    assert (found.requests, found.busy, found.refused) == (15, False, 0)
    assert found.p95_ms == pytest.approx(np.percentile(np.arange(25, 40), 95))
    assert found.waited_p95_ms == pytest.approx(np.percentile(np.arange(25, 40) / 2, 95))
    assert found.speech_s_per_s == pytest.approx(15 * 2.0 / 15)
    many = measure_load(log(100, 10.0, every_s=0.1), None, NOON, PROMISED)
    assert many is not None
    assert many.speech_s_per_s == pytest.approx(100 * 2.0 / 9.9)  # a full window has forgotten the rest


@pytest.mark.parametrize(
    ("window", "busy"),
    [
        (log(15, 900.0), False),  # slow, and nobody waits for another
        (log(15, 1100.0), True),
        (log(15, 500.0, waited_ms=250.0), True),  # in time as yet
        (log(15, 1100.0, waited_ms=None), False),  # long recordings and live speech have no promise
        ([*log(14, 100.0), *log(1, 5000.0)], False),  # one may be anything
        ([*log(14, 100.0), *log(1, 100.0, refused=2)], True),
        (log(15, 5000.0, at=NOON - timedelta(seconds=60)), False),
        ([], False),
    ],
)
def test_it_is_busy_when_callers_are_late_wait_for_each_other_or_are_refused(
    window: list[RequestRecord], busy: bool
) -> None:
    found = measure_load(window, None, NOON, PROMISED)
    assert found is not None
    assert found.busy == busy
    assert measure_load(window, None, NOON, PARAMS) is None  # nothing is promised


def test_it_ends_when_less_comes_than_was_carried_and_not_while_callers_stay() -> None:
    late = measure_load(log(15, 5000.0), None, NOON, PROMISED)
    assert late is not None
    assert late.carried == pytest.approx(2.0)
    fast, few = log(15, 100.0), log(5, 100.0, every_s=3.0)

    def after(window: list[RequestRecord], seconds: float) -> bool:
        moved = [each.model_copy(update={"at": each.at + timedelta(seconds=seconds)}) for each in window]
        found = measure_load(moved, late, NOON + timedelta(seconds=seconds), PROMISED)
        assert found is not None
        return found.busy

    assert after(fast, 60)  # they are answered in time because the scale is coarse
    assert not after(few, 60)
    assert after(few, 20)  # the cooldown
    assert not after(fast, 700)  # after max_age_s a finer one is tried
    assert after(log(15, 5000.0), 700)


def test_answers_that_come_in_batches_are_not_fewer_callers() -> None:
    rng = np.random.default_rng(0)
    params = PROMISED.model_copy(update={"window": 20, "cooldown_s": 2.0, "max_latency_ms": 15_000.0})

    def served(every_s: float, first_s: float, last_s: float, batch_s: float) -> list[RequestRecord]:
        """Callers at random, answered together every ``batch_s``."""
        came = np.cumsum(rng.exponential(every_s, size=2_000)) + first_s
        answered = np.ceil((came + 0.1) / batch_s) * batch_s
        return [
            request(n, 30.0, NOON + timedelta(seconds=float(at))).model_copy(
                update={"latency_ms": 1000 * float(at - since), "waited_ms": 0.0, "duration_s": 5.0}
            )
            for n, (since, at) in enumerate(zip(came, answered, strict=True))
            if since < last_s
        ]

    # Two come in a second, and from the third minute on two in three.
    lines = [*served(0.5, 0, 180, 6.5), *served(1.5, 180, 300, 2.5)]
    before, ended_s = None, []
    for second in range(30, 300):
        now = NOON + timedelta(seconds=second)
        window = [each for each in lines if each.at <= now][-params.window :]
        late = [each.model_copy(update={"waited_ms": 4_000.0}) for each in window] if second < 35 else window
        found = measure_load(late, before, now, params)
        assert found is not None
        if before is not None and before.busy and not found.busy:
            ended_s.append(second)
        before = found
    assert len(ended_s) == 1
    assert 180 < ended_s[0] < 215


def test_an_idle_service_spends_what_it_has_and_callers_take_it_back() -> None:
    window = log(20, 100.0)
    assert clean_scale(EVALUATION, SPARE) == FINE
    assert propose(window, EVALUATION, FINE, SPARE, load(busy=False)).choice.scale == FINE
    assert propose(window, EVALUATION, FINE, SPARE, load(busy=True)).choice.scale == COARSE
    assert propose(window, EVALUATION, FINE, PROMISED, load(busy=False)).choice.scale == COARSE


def test_load_never_breaks_the_promise_on_words() -> None:
    noisy = [request(n, 8.0) for n in range(20)]  # the middle scale gets 6 % wrong, the coarsest 14 %
    assert propose(noisy, EVALUATION, FINE, SPARE, load(busy=True)).choice.scale == MIDDLE
    loud = [request(n, 4.0) for n in range(20)]
    assert propose(loud, EVALUATION, FINE, SPARE, load(busy=True)).choice.scale == FINE


def test_at_the_border_the_finer_scale_stays_unless_there_is_load() -> None:
    border = [request(n, 13.0) for n in range(20)]  # the coarsest gets 6 % wrong, and 11 % three dB below
    wide = PROMISED.model_copy(update={"hysteresis_db": 3.0})
    assert propose(border, EVALUATION, FINE, wide, load(busy=False)).choice.scale == MIDDLE
    assert propose(border, EVALUATION, FINE, wide, load(busy=True)).choice.scale == COARSE


def test_under_load_neither_looks_nor_cooldown_are_waited_for_and_the_decision_says_why() -> None:
    window = log(20, 100.0)
    now = NOON + timedelta(seconds=1)
    switched = ScaleDecision(
        at=NOON - timedelta(seconds=2),
        scale="a4v2",
        previous="a16v5",
        switched=True,
        snr_db=30.0,
        requests=20,
        reason="finer: planted",
        proposed="a4v2",
    )
    busy = decide(window, EVALUATION, FINE, [switched], SPARE, now, load=load(busy=True)).decision
    assert (busy.scale, busy.switched, busy.cause, busy.spending) == ("a16v5", True, "load", "cheapest")
    assert busy.reason.startswith("coarser:")
    assert "busy: 95 % of the callers wait at most 900 of 1000 ms" in busy.reason
    assert busy.load == load(busy=True)
    back = decide(window, EVALUATION, COARSE, [], SPARE, now, load=load(busy=False)).decision
    assert (back.scale, back.switched, back.cause, back.proposed) == ("a16v5", False, "load", "a4v2")
    noise = decide(
        [request(n, 4.0, NOON) for n in range(20)], EVALUATION, COARSE, [], SPARE, now, load=load(busy=True)
    ).decision
    assert (noise.proposed, noise.cause) == ("a4v2", "noise")
    unseen = decide([], EVALUATION, FINE, [switched], SPARE, now, load=load(busy=True)).decision
    assert not unseen.switched  # of noise that nobody measured nothing can be promised


def test_requests_of_other_scales_say_the_same_of_the_noise() -> None:
    window = [request(n, (30.0, 4.0)[n % 2]) for n in range(20)]
    own = [
        each.model_copy(update={"scale": ("a16v5", "a4v2")[n % 2], "chosen_by": "auto"})
        for n, each in enumerate(window)
    ]
    assert propose(own, EVALUATION, FINE, PARAMS) == propose(window, EVALUATION, FINE, PARAMS)


def test_what_is_to_be_spared_needs_a_promise_on_latency() -> None:
    with pytest.raises((ConfigError, ValueError), match="spend is spare and max_latency_ms 0"):
        MonitorParams.model_validate(PARAMS.model_dump() | {"spend": "spare"})
