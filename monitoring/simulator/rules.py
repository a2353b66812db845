"""Who chooses the scale: the monitor itself, an oracle, and rules that are simpler than it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np

from mome.config import MonitorParams
from mome.expectation import Expected, Noises, standard_error
from mome.records import Evaluation, NoiseKind, RequestRecord, ScaleDecision
from mome.request_log.store import is_from_the_future
from mome.scales import Scale
from monitoring.policy import clean_scale, decide
from monitoring.recent import Recent
from monitoring.simulator.traffic import Traffic
from monitoring.simulator.world import SCALES

__all__ = ["BEGIN", "auto", "fixed", "median", "monitor", "oracle", "per_request", "request"]

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
_KEPT_S = 3  # histories of that many times what counts are what a look reads
_LOOK_S = 60.0  # between two looks at a noise that is known; while it is new, every request is looked at


class Chosen(NamedTuple):
    """The scale of every request, as index into `SCALES`, and the decisions that led to it."""

    scales: np.ndarray
    decisions: list[ScaleDecision]


def oracle(traffic: Traffic, max_wer: float) -> np.ndarray:
    """Choose the cheapest scale that truly keeps the promise at that time, else the best."""
    return _cheapest(traffic.mean_wer, max_wer)


def fixed(traffic: Traffic, scale: Scale) -> np.ndarray:
    """Serve one scale for ever."""
    return np.full(len(traffic.at), SCALES.index(scale))


def per_request(traffic: Traffic, evaluation: Evaluation, max_wer: float) -> np.ndarray:
    """Choose for each request from its own measurement alone."""
    shares, noises = _placed(traffic, evaluation)
    rates = np.array(
        [[evaluation.wer["av"][str(scale)][key].rate for key in noises.columns] for scale in SCALES]
    )
    return _cheapest(rates @ shares.T, max_wer)


def auto(
    traffic: Traffic, evaluation: Evaluation, params: MonitorParams, decisions: Sequence[ScaleDecision]
) -> np.ndarray:
    """Choose for each request as ``compression_scale=auto`` does: by its noise, with the window before it."""
    noises = Noises(evaluation.conditions)
    cells = [[evaluation.wer["av"][str(scale)][key] for key in noises.columns] for scale in SCALES]
    expected = [[Expected(cell.rate, standard_error(cell)) for cell in row] for row in cells]
    most = np.array([[each.at_most(params.confidence) for each in row] for row in expected])
    decided = [(each.at - BEGIN).total_seconds() for each in decisions if each.noise]
    priors = [{}, *(each.noise for each in decisions if each.noise)]
    known = np.searchsorted(decided, traffic.at)
    chosen = np.empty(len(traffic.at), int)
    for number in np.unique(known):
        now = np.flatnonzero(known == number)
        shares = noises.likely(traffic.snr_db[now], [traffic.kind[each] for each in now], priors[number])
        chosen[now] = _cheapest(most @ shares.T, params.max_wer["av"])
    return chosen


def median(traffic: Traffic, evaluation: Evaluation, params: MonitorParams) -> np.ndarray:
    """Look up the median of the window at the next noisier level of the babble table; three looks agree."""
    line = sorted(
        (each for each in evaluation.conditions if each.noise in (None, "babble")),
        key=lambda condition: condition.estimated_snr_db,
    )
    chosen = np.empty(len(traffic.at), int)
    current, agreed, wanted, looked = len(SCALES) - 1, 0, len(SCALES) - 1, 0.0
    for number, at in enumerate(traffic.at):
        if at - looked >= _LOOK_S and number >= params.min_requests:
            looked = at
            level = float(np.median(traffic.snr_db[max(0, number - params.window) : number]))
            noisier = [each for each in line if each.estimated_snr_db <= level] or line[:1]
            row = np.array([[evaluation.wer["av"][str(scale)][noisier[-1].key].rate] for scale in SCALES])
            proposed = int(_cheapest(row, max(params.max_wer.values()))[0])
            agreed = agreed + 1 if proposed == wanted else 1
            wanted = proposed
            if agreed >= params.consecutive_windows:
                current = proposed
        chosen[number] = current
    return chosen


def monitor(traffic: Traffic, evaluation: Evaluation, params: MonitorParams) -> Chosen:
    """Let the monitor follow the requests: `Recent` takes in each, `decide` looks."""
    recent = Recent(evaluation, params)
    current = clean_scale(evaluation, params)
    kept = timedelta(seconds=_KEPT_S * max(params.max_age_s, params.cooldown_s))
    chosen = np.empty(len(traffic.at), int)
    decisions: list[ScaleDecision] = []
    first, looked = 0, -_LOOK_S
    for number, request in enumerate(_requests(traffic)):
        at = float(traffic.at[number])
        now = BEGIN + timedelta(seconds=at)
        chosen[number] = SCALES.index(current)
        if not is_from_the_future(request, now):
            recent.add([request])
        if at - looked < _LOOK_S and not recent.is_new:
            continue
        looked = at
        while first < len(decisions) and decisions[first].at < now - kept:
            first += 1
        window = recent.window(now)
        decision = decide(
            window, evaluation, current, decisions[first:], params, now, recent.changed_at
        ).decision
        decisions.append(decision)
        current = Scale.parse(decision.scale)
    return Chosen(chosen, decisions)


def request(number: int, at: datetime, snr_db: float, kind: NoiseKind) -> RequestRecord:
    """Return the line of the log for a clip of which only its noise matters."""
    return RequestRecord(
        request_id=f"r{number}",
        at=at,
        scale="a16v5",
        modality="av",
        duration_s=3.0,
        latency_ms=100.0,
        snr_db=snr_db,
        snr_confident=True,
        noise_kind=kind,
        noise_confidence=0.9,
        level_db=-25.0,
        speech_share=0.8,
        mouth_sharpness=10.0,
        status=200,
    )


def _requests(traffic: Traffic) -> Iterator[RequestRecord]:
    measured = zip(traffic.logged.tolist(), traffic.snr_db.tolist(), traffic.kind, strict=True)
    for number, (logged, snr_db, kind) in enumerate(measured):
        yield request(number, BEGIN + timedelta(seconds=logged), snr_db, kind)


def _placed(traffic: Traffic, evaluation: Evaluation) -> tuple[np.ndarray, Noises]:
    noises = Noises(evaluation.conditions)
    return noises.place_all(traffic.snr_db.tolist(), traffic.kind), noises


def _cheapest(rates: np.ndarray, max_wer: float) -> np.ndarray:
    """Return for each column of rates (scales, requests) the cheapest row within a promise, else the best."""
    tokens = np.array([scale.tokens_per_second for scale in SCALES])[:, None]
    keeps = rates <= max_wer
    return np.where(keeps.any(axis=0), np.where(keeps, tokens, np.inf).argmin(axis=0), rates.argmin(axis=0))
