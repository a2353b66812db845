"""The policy is run on planted word error tables, where the right scale can be read off by eye."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from mome.config import MonitorParams
from mome.errors import MonitorError
from mome.records import Condition, RequestRecord, ScaleDecision
from mome.scales import Scale
from monitoring.policy import budgeted_scales, choose_scale, clean_scale, decide, place, propose, true_snr_db
from tests.planted import evaluation, table

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FINE, MIDDLE, COARSE = Scale(4, 2), Scale(16, 2), Scale(16, 5)
BUDGET = {"a4v2": 0.05, "a16v2": 0.08, "a16v5": 0.10}
# Percent of words; at 0 dB only the finest is within budget, at -5 dB none is.
TABLE = {
    "a4v2": {"clean": 1, "10": 1, "5": 2, "0": 4, "-5": 9},
    "a16v2": {"clean": 2, "10": 3, "5": 6, "0": 15, "-5": 30},
    "a16v5": {"clean": 3, "10": 6, "5": 14, "0": 25, "-5": 50},
}
# The estimator overestimates in babble, as WADA-SNR does.
CONDITIONS = [
    Condition(snr_db=None, estimated_snr_db=30, low=22, high=45),
    Condition(snr_db=10, estimated_snr_db=13, low=11, high=16),
    Condition(snr_db=5, estimated_snr_db=8, low=6, high=11),
    Condition(snr_db=0, estimated_snr_db=4, low=2, high=6),
    Condition(snr_db=-5, estimated_snr_db=1, low=-1, high=3),
]
EVALUATION = evaluation({"av": table(TABLE)}, conditions=CONDITIONS)
PARAMS = MonitorParams(
    window=20,
    min_requests=12,
    consecutive_windows=2,
    cooldown_s=2.0,
    hysteresis_db=1.0,
    tolerance_db=1.0,
    max_age_s=600.0,
    drift_p_value=0.01,
)


def request(number: int, snr_db: float | None, at: datetime) -> RequestRecord:
    return RequestRecord(
        request_id=f"r{number}",
        at=at,
        scale="a16v5",
        modality="av",
        duration_s=2.0,
        latency_ms=100.0,
        snr_db=snr_db,
        snr_confident=True,
        level_db=-25.0,
        speech_share=0.8,
        mouth_sharpness=10.0,
        status=200,
    )


class Monitor:
    """Looks at a stream of measurements, one every second, as the real one does at a log."""

    def __init__(self, params: MonitorParams = PARAMS, current: Scale = COARSE) -> None:
        self.params, self.current, self.now = params, current, NOON
        self.log: list[RequestRecord] = []
        self.decisions: list[ScaleDecision] = []
        self.beyond_budget = False

    def serve(self, levels: list[float | None]) -> None:
        for level in levels:
            self.now += timedelta(seconds=1)
            self.log.append(request(len(self.log), level, self.now))

    def look(self) -> ScaleDecision:
        self.now += timedelta(milliseconds=1)
        window = self.log[-self.params.window :]
        decision, self.beyond_budget = decide(
            window, EVALUATION, BUDGET, self.current, self.decisions, self.params, self.now
        )
        self.decisions.append(decision)
        self.current = Scale.parse(decision.scale)
        return decision

    @property
    def switches(self) -> list[tuple[str | None, str]]:
        return [(decision.previous, decision.scale) for decision in self.decisions if decision.switched]


@pytest.mark.parametrize(
    ("measured", "level"),
    [
        (60, None),
        (30, None),
        (22.5, None),  # clean recordings scatter: above their 10th percentile is clean
        (21, 10),
        (13, 10),
        (12.5, 10),  # within the tolerance
        (11.9, 5),  # nearest noisier
        (4, 0),
        (2.9, -5),
        (0, -5),
    ],
)
def test_a_measurement_is_placed_at_the_nearest_noisier_condition(
    measured: float, level: float | None
) -> None:
    placed = place(measured, CONDITIONS, tolerance_db=1.0)
    assert placed is not None
    assert placed.snr_db == level
    assert placed == place(measured, CONDITIONS[::-1], tolerance_db=1.0)  # whatever their order


def test_noise_below_every_condition_has_no_place() -> None:
    assert place(-0.1, CONDITIONS, tolerance_db=1.0) is None


def test_clean_never_reaches_down_into_the_next_condition() -> None:
    wide = [Condition(snr_db=None, estimated_snr_db=30, low=5, high=50), *CONDITIONS[1:]]
    placed = place(13.5, wide, tolerance_db=1.0)
    assert placed is not None
    assert placed.snr_db == 10


@pytest.mark.parametrize(("index", "scale"), [(0, COARSE), (1, COARSE), (2, MIDDLE), (3, FINE), (4, None)])
def test_the_cheapest_scale_within_its_budget_is_chosen(index: int, scale: Scale | None) -> None:
    assert choose_scale(EVALUATION.wer["av"], BUDGET, CONDITIONS[index]) == scale


def test_before_any_measurement_the_choice_for_clean_speech_is_served() -> None:
    assert clean_scale(EVALUATION, BUDGET) == COARSE
    assert clean_scale(EVALUATION, dict.fromkeys(BUDGET, 0.001)) == FINE


def test_a_scale_without_budget_or_condition_is_named() -> None:
    with pytest.raises(MonitorError, match="a16v5 was evaluated, but the gate has no budget"):
        budgeted_scales(EVALUATION, {"a4v2": 0.1, "a16v2": 0.1})
    extra = [*CONDITIONS, Condition(snr_db=-10, estimated_snr_db=-3, low=-4, high=-2)]
    with pytest.raises(MonitorError, match="a4v2 was not evaluated at -10"):
        budgeted_scales(EVALUATION.model_copy(update={"conditions": extra}), BUDGET)
    with pytest.raises(MonitorError, match="no word error table for 'audio'"):
        budgeted_scales(EVALUATION.model_copy(update={"modality": "audio"}), BUDGET)


def test_going_back_to_a_coarser_scale_needs_more_than_the_border() -> None:
    # 12.0 dB is where the 10 dB condition begins, at which the coarse scale is within budget.
    assert propose(12.0, EVALUATION, BUDGET, COARSE, PARAMS) == (COARSE, True)
    assert propose(11.9, EVALUATION, BUDGET, COARSE, PARAMS) == (MIDDLE, True)
    assert propose(12.9, EVALUATION, BUDGET, MIDDLE, PARAMS) == (MIDDLE, True)
    assert propose(13.0, EVALUATION, BUDGET, MIDDLE, PARAMS) == (COARSE, True)
    # From the finest, what would still be chosen one decibel further in is not far enough for the coarsest.
    assert propose(12.9, EVALUATION, BUDGET, FINE, PARAMS) == (MIDDLE, True)


def test_beyond_every_budget_the_finest_is_proposed_and_said_to_be_too_little() -> None:
    assert propose(1.0, EVALUATION, BUDGET, COARSE, PARAMS) == (FINE, False)
    assert propose(-9.0, EVALUATION, BUDGET, FINE, PARAMS) == (FINE, False)


def test_an_estimate_becomes_the_level_that_has_to_be_mixed() -> None:
    assert [true_snr_db(level, CONDITIONS) for level in (13, 8, 6, 4, 1, -1, 15)] == [
        10,
        5,
        2.5,
        0,
        -5,
        -7,
        12,
    ]
    assert true_snr_db(7.0, CONDITIONS[:1]) == 7.0  # nothing to calibrate with


def test_clean_babble_clean_makes_exactly_two_switches() -> None:
    monitor = Monitor()
    for level in (30.0, 4.0, 30.0):
        for _ in range(8):
            monitor.serve([level] * 5)
            monitor.look()
    assert monitor.switches == [("a16v5", "a4v2"), ("a4v2", "a16v5")]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [20, 50, 200])
def test_the_toy_of_one_change_and_back_makes_two_switches(size: int, seed: int) -> None:
    # 400 windows; the level of each jitters by 1 dB and single requests by 6 dB around it.
    rng = np.random.default_rng(seed)
    monitor = Monitor(PARAMS.model_copy(update={"window": size}))
    for look in range(400):
        middle = (4.5 if 130 <= look < 270 else 30.0) + rng.normal()
        monitor.serve(list(middle + 6 * rng.standard_normal(size)))
        monitor.look()
    away = [number for number, decision in enumerate(monitor.decisions) if decision.switched]
    # Between the finest and no scale at all the choice is the finest: the jitter moves nothing.
    assert [to for _, to in monitor.switches if to == "a16v5"] == ["a16v5"]
    assert len(monitor.switches) == 2, monitor.switches
    assert away[0] in range(130, 140)
    assert away[1] in range(270, 280)


def test_a_slow_change_of_the_window_does_not_stop_halfway() -> None:
    # At 10 of 20 the lower median is the loudest babble clip (8 dB: the middle scale), later 4 dB.
    monitor = Monitor()
    monitor.serve([30.0] * 20)
    monitor.look()
    for _ in range(6):
        monitor.serve([4.0, 3.5, 8.0, 4.5, 5.0])
        monitor.look()
    assert monitor.switches == [("a16v5", "a4v2")]


def test_too_few_requests_hold() -> None:
    monitor = Monitor()
    monitor.serve([4.0] * 11)
    assert monitor.look().reason == "hold: 11 measured requests, 12 needed"
    monitor.serve([None] * 5)  # without speech there is nothing to measure
    decision = monitor.look()
    assert (decision.scale, decision.proposed, decision.requests) == ("a16v5", None, 16)


def test_an_empty_window_holds() -> None:
    decision = Monitor().look()
    assert (decision.switched, decision.snr_db, decision.requests) == (False, None, 0)


def test_one_look_is_not_enough_and_an_interruption_starts_over() -> None:
    monitor = Monitor()
    for level in (4.0, 30.0, 4.0):
        monitor.serve([level] * 20)
        monitor.look()
    assert monitor.switches == []
    assert monitor.decisions[-1].reason.startswith("hold: 1 of 2 looks ask for a4v2")
    monitor.serve([4.0] * 20)
    assert monitor.look().switched


def test_looking_again_at_the_same_requests_is_no_second_look() -> None:
    monitor = Monitor()
    monitor.serve([4.0] * 20)
    monitor.look()
    for _ in range(3):
        assert monitor.look().reason == "hold: no new request since the last look"
    monitor.serve([4.0])
    assert monitor.look().switched  # and it does not break the row either


def test_looks_of_long_ago_do_not_count() -> None:
    monitor = Monitor()
    monitor.serve([4.0] * 20)
    monitor.look()
    monitor.now += timedelta(seconds=PARAMS.max_age_s + 1)
    monitor.serve([4.0] * 20)
    assert not monitor.look().switched


def test_the_cooldown_delays_the_next_switch() -> None:
    monitor = Monitor(PARAMS.model_copy(update={"cooldown_s": 90.0}))
    for level in (4.0, 30.0):
        for _ in range(3):
            monitor.serve([level] * 20)
            monitor.look()
    assert monitor.switches == [("a16v5", "a4v2")]
    assert "90 s have not passed since the last switch; a16v5 is wanted" in monitor.decisions[-1].reason
    monitor.serve([30.0] * 20)
    assert monitor.look().switched


def test_noise_beyond_every_budget_is_reported_once_it_is_settled() -> None:
    monitor = Monitor()
    monitor.serve([1.0] * 20)
    monitor.look()
    assert not monitor.beyond_budget
    monitor.serve([1.0] * 20)
    assert monitor.look().scale == "a4v2"
    assert monitor.beyond_budget
    monitor.serve([1.0] * 20)
    assert "no scale is within budget" in monitor.look().reason
    assert monitor.beyond_budget
    monitor.serve([-9.0] * 20)
    assert "noisier than anything evaluated" in monitor.look().reason


def test_a_reason_names_the_measurement_the_condition_and_both_rates() -> None:
    monitor = Monitor()
    for _ in range(2):
        monitor.serve([4.2] * 20)
        monitor.look()
    assert (
        monitor.decisions[-1].reason == "finer: measured 4.2 dB looks like 0 dB, where a4v2 has 4.0% of 5.0%"
    )
