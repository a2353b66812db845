"""Which scale to serve at today's noise: a look-up in the word error table, then damping.

The look-up has the gate's opinion: the same table, the same budget. The damping exists because a
window of requests is a small sample: without it the served scale follows chance. A drift flag is no
input here; "different from the baseline" is not "noisier".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median_low
from typing import NamedTuple

import numpy as np

from mome.config import MonitorParams
from mome.errors import MonitorError
from mome.records import Condition, Evaluation, RequestRecord, ScaleDecision, WordErrors, snr_key
from mome.scales import Scale

__all__ = [
    "Verdict",
    "budgeted_scales",
    "choose_scale",
    "clean_scale",
    "decide",
    "place",
    "propose",
    "true_snr_db",
]


class Verdict(NamedTuple):
    """A decision, and whether it is time to ask for a better model.

    ``beyond_budget`` is true when as many looks in a row as it takes to act saw noise at which no
    scale is within its budget.
    """

    decision: ScaleDecision
    beyond_budget: bool


def place(snr_db: float, conditions: Sequence[Condition], tolerance_db: float) -> Condition | None:
    """Return the nearest noisier condition to a measured noise, or None if it is noisier than all.

    Conditions are ordered by what the estimator says of them, not by their true level: a measurement
    can be compared with measurements only. One that lies ``tolerance_db`` below a condition's median
    still counts as that condition. To the cleanest condition belongs everything above its 10th
    percentile: estimates on clean speech scatter widely, as there is little noise to measure.

    Args:
        snr_db: Median estimate of a window of requests.
        conditions: The evaluated noise levels, in any order.
        tolerance_db: How far below a condition's median still counts as it.
    """
    by_estimate = sorted(conditions, key=lambda condition: condition.estimated_snr_db)
    placed = None
    for condition, noisier in zip(by_estimate, [None, *by_estimate[:-1]], strict=True):
        border_db = condition.estimated_snr_db - tolerance_db
        if condition.snr_db is None:
            floor_db = -math.inf if noisier is None else noisier.estimated_snr_db + tolerance_db
            border_db = min(border_db, max(condition.low, floor_db))
        if snr_db >= border_db:
            placed = condition
    return placed


def choose_scale(
    wer: Mapping[str, Mapping[str, WordErrors]], max_wer: Mapping[str, float], condition: Condition
) -> Scale | None:
    """Return the cheapest scale whose word error rate is within its budget, or None if no scale's is.

    Args:
        wer: ``wer[scale][snr_key]`` of one modality.
        max_wer: Budget per scale, the gate's.
        condition: Where today's noise stands.
    """
    key = snr_key(condition.snr_db)
    fitting = [Scale.parse(scale) for scale, row in wer.items() if row[key].rate <= max_wer[scale]]
    return min(fitting, key=lambda scale: scale.tokens_per_second, default=None)


def budgeted_scales(evaluation: Evaluation, max_wer: Mapping[str, float]) -> list[Scale]:
    """Return the scales that can be served, finest first.

    Raises:
        MonitorError: If the table has no row for its own modality, a scale has no budget, or a
            condition has no column.
    """
    wer = evaluation.wer.get(evaluation.modality)
    if not wer or not evaluation.conditions:
        raise MonitorError(
            f"the evaluation of {evaluation.corpus!r} has no word error table for {evaluation.modality!r}"
        )
    for scale, row in wer.items():
        if scale not in max_wer:
            raise MonitorError(
                f"scale {scale} was evaluated, but the gate has no budget for it: {sorted(max_wer)}"
            )
        missing = {snr_key(condition.snr_db) for condition in evaluation.conditions} - row.keys()
        if missing:
            raise MonitorError(f"scale {scale} was not evaluated at {', '.join(sorted(missing))}")
    return sorted(map(Scale.parse, wer), key=lambda scale: scale.tokens_per_second, reverse=True)


def clean_scale(evaluation: Evaluation, max_wer: Mapping[str, float]) -> Scale:
    """Return what to serve before anything was measured: the choice at the cleanest condition."""
    finest = budgeted_scales(evaluation, max_wer)[0]
    cleanest = max(evaluation.conditions, key=lambda condition: condition.estimated_snr_db)
    return choose_scale(evaluation.wer[evaluation.modality], max_wer, cleanest) or finest


def propose(
    snr_db: float, evaluation: Evaluation, max_wer: Mapping[str, float], current: Scale, params: MonitorParams
) -> tuple[Scale, bool]:
    """Return the scale for a measured noise, and whether any scale is within budget there.

    A coarser scale than the current one is proposed only if it would still be chosen
    ``hysteresis_db`` further into the noise: at the border the finer scale stays.
    """
    finest = budgeted_scales(evaluation, max_wer)[0]
    wer = evaluation.wer[evaluation.modality]

    def at(level_db: float) -> Scale | None:
        condition = place(level_db, evaluation.conditions, params.tolerance_db)
        return None if condition is None else choose_scale(wer, max_wer, condition)

    chosen = at(snr_db)
    proposed = chosen or finest
    if current.is_finer_than(proposed):
        cautious = at(snr_db - params.hysteresis_db) or finest
        proposed = cautious if current.is_finer_than(cautious) else current
    return proposed, chosen is not None


def true_snr_db(snr_db: float, conditions: Sequence[Condition]) -> float:
    """Turn an estimate into the level at which noise has to be mixed to look like that.

    Linear between the evaluated noisy conditions, one decibel per decibel outside them.
    """
    points = sorted((c.estimated_snr_db, c.snr_db) for c in conditions if c.snr_db is not None)
    if not points:
        return snr_db
    estimated, true = zip(*points, strict=True)
    inside: float = min(max(snr_db, estimated[0]), estimated[-1])
    return float(np.interp(inside, estimated, true)) + (snr_db - inside)


def decide(
    window: Sequence[RequestRecord],
    evaluation: Evaluation,
    max_wer: Mapping[str, float],
    current: Scale,
    history: Sequence[ScaleDecision],
    params: MonitorParams,
    now: datetime,
) -> Verdict:
    """Take one decision from a window of requests.

    Args:
        window: Newest requests, oldest first.
        evaluation: The bundle's table.
        max_wer: The gate's budget per scale.
        current: The scale that is served now.
        history: Earlier decisions, oldest first.
        params: Damping.
        now: The moment of this look.

    Raises:
        MonitorError: As `budgeted_scales`.
    """
    levels = [request.snr_db for request in window if request.snr_db is not None]
    # The lower median is a level that was measured; the mean of the two middle ones of a window that
    # is half clean and half noisy is a level that nobody spoke at.
    snr_db = median_low(levels) if levels else None

    def verdict(
        reason: str, proposed: Scale | None, *, switch: bool = False, beyond_budget: bool = False
    ) -> Verdict:
        decision = ScaleDecision(
            at=now,
            scale=str(proposed if switch else current),
            previous=str(current),
            switched=switch,
            snr_db=snr_db,
            requests=len(window),
            reason=reason,
            proposed=None if proposed is None else str(proposed),
        )
        return Verdict(decision, beyond_budget)

    if snr_db is None or len(levels) < params.min_requests:
        return verdict(f"hold: {len(levels)} measured requests, {params.min_requests} needed", None)
    if history and max(request.at for request in window) <= history[-1].at:
        return verdict("hold: no new request since the last look", None)

    proposed, within_budget = propose(snr_db, evaluation, max_wer, current, params)
    newer, _ = propose(median_low(levels[len(levels) // 2 :]), evaluation, max_wer, current, params)
    if newer != proposed:
        # A window that spans a change has a median that belongs to neither side of it.
        return verdict(f"hold: the noise is changing, the newer half of the window asks for {newer}", current)

    looks = 1 + _agreeing_looks(history, str(proposed), now - timedelta(seconds=params.max_age_s))
    agreed = looks >= params.consecutive_windows
    beyond_budget = agreed and not within_budget
    why = _explain(snr_db, proposed, within_budget, evaluation, max_wer, params)
    switches = [earlier.at for earlier in history if earlier.switched]
    cooling = bool(switches) and (now - switches[-1]).total_seconds() < params.cooldown_s
    if proposed == current:
        return verdict(f"keep {current}: {why}", proposed, beyond_budget=beyond_budget)
    if not agreed:
        return verdict(
            f"hold: {looks} of {params.consecutive_windows} looks ask for {proposed}: {why}", proposed
        )
    if cooling:
        waited = f"{params.cooldown_s:g} s have not passed since the last switch"
        return verdict(f"hold: {waited}; {proposed} is wanted: {why}", proposed, beyond_budget=beyond_budget)
    direction = "finer" if proposed.is_finer_than(current) else "coarser"
    return verdict(f"{direction}: {why}", proposed, switch=True, beyond_budget=beyond_budget)


def _agreeing_looks(history: Sequence[ScaleDecision], proposed: str, since: datetime) -> int:
    """Count the latest looks that proposed this scale; a look that saw too little is no voice."""
    agreeing = 0
    for earlier in reversed(history):
        if earlier.at < since or (earlier.proposed is not None and earlier.proposed != proposed):
            break
        agreeing += earlier.proposed is not None
    return agreeing


def _explain(
    snr_db: float,
    proposed: Scale,
    within_budget: bool,
    evaluation: Evaluation,
    max_wer: Mapping[str, float],
    params: MonitorParams,
) -> str:
    condition = place(snr_db, evaluation.conditions, params.tolerance_db)
    measured = f"measured {snr_db:.1f} dB"
    if condition is None:
        return f"{measured} is noisier than anything evaluated, {proposed} is the finest"
    key = snr_key(condition.snr_db)
    level = "clean" if condition.snr_db is None else f"{key} dB"
    rate = evaluation.wer[evaluation.modality][str(proposed)][key].rate
    if not within_budget:
        return f"{measured} looks like {level}, where no scale is within budget; {proposed} is the finest"
    return f"{measured} looks like {level}, where {proposed} has {rate:.1%} of {max_wer[str(proposed)]:.1%}"
