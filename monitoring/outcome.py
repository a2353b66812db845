"""What came of a decision: the words that go wrong by the decoder's own account, beside promise and table.

The policy knows the table; nobody checks the table against today's callers but this. Two things can follow.
A switch to a coarser scale is taken back when more words go wrong there than were promised, and fewer did at
the finer scale before; it is not tried again in that noise for a time. And an alarm: the table no longer
describes the traffic. Neither needs a transcript (`mome.estimated_wer`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import NormalDist

import numpy as np

from mome.config import MonitorParams
from mome.expectation import Expected, Noises, expected_wer
from mome.records import Evaluation, Modality, RequestRecord, ScaleDecision
from mome.scales import Scale
from monitoring.policy import is_measured, surroundings

__all__ = ["Tried", "judge", "tried_in_vain"]

_FEWEST = 5  # requests, of which a rate is told
_DIFFERS = NormalDist().inv_cdf(0.995)  # of a hundred looks at a table that is right, one raises the alarm


@dataclass(frozen=True)
class Tried:
    """A scale that was taken back and is not to be tried again yet, nor anything coarser."""

    scale: Scale
    at: datetime

    def without(self, evaluation: Evaluation) -> Evaluation:
        """Return the table with finer scales alone; all of it if there are none."""
        wer = {
            modality: {name: row for name, row in rows.items() if Scale.parse(name).is_finer_than(self.scale)}
            for modality, rows in evaluation.wer.items()
        }
        return evaluation.model_copy(update={"wer": wer}) if all(wer.values()) else evaluation


def tried_in_vain(
    history: Sequence[ScaleDecision], changed_at: datetime | None, since: datetime
) -> Tried | None:
    """Return the finest scale that was taken back in the noise that still lasts.

    Args:
        history: Earlier decisions, oldest first.
        changed_at: First request after the last change of the noise; what was tried before was another noise.
        since: What was taken back earlier may be tried again.
    """
    tried = [
        Tried(Scale.parse(each.taken_back), each.at)
        for each in history
        if each.taken_back is not None
        and each.switched
        and each.at >= since
        and (changed_at is None or changed_at <= each.at)
    ]
    return max(tried, key=lambda each: each.scale.tokens_per_second, default=None)


def judge(
    decision: ScaleDecision,
    window: Sequence[RequestRecord],
    evaluation: Evaluation,
    history: Sequence[ScaleDecision],
    params: MonitorParams,
) -> ScaleDecision:
    """Return a decision with what is estimated of the requests, and with what follows from that.

    Args:
        decision: Of the policy.
        window: Newest requests, oldest first; none from before a change of the noise.
        evaluation: The bundle's table; without a calibration the decision stays as it is.
        history: Earlier decisions, oldest first.
        params: The promise, and how sure it takes to call it broken.
    """
    told = [request for request in window if _is_told(request, evaluation, params)]
    if not told:
        return decision
    # One modality: what most of the requests are.
    ((modality, _),) = Counter(request.modality for request in told).most_common(1)
    by_scale: dict[str, list[RequestRecord]] = {}
    for request in told:
        if request.modality == modality:
            by_scale.setdefault(request.scale, []).append(request)
    rates = {
        scale: _estimated(requests, evaluation, modality)
        for scale, requests in by_scale.items()
        if len(requests) >= _FEWEST
    }
    decision = decision.model_copy(
        update={"estimated_wer": {scale: round(found.rate, 5) for scale, found in rates.items()}}
    )
    served = decision.previous or decision.scale
    if len(by_scale.get(served, ())) >= params.min_requests:
        decision = _beside_table(decision, served, by_scale[served], rates[served], evaluation)
    return _taken_back(decision, served, by_scale.get(served, []), evaluation, history, params)


def _is_told(request: RequestRecord, evaluation: Evaluation, params: MonitorParams) -> bool:
    return (
        request.estimated_wer is not None
        and request.scale in evaluation.wer.get(request.modality, {})
        and is_measured(request, evaluation, params)
    )


def _estimated(requests: Sequence[RequestRecord], evaluation: Evaluation, modality: Modality) -> Expected:
    """Return the rate of requests, each counting the same, as in what the table expects of them."""
    rates = np.array([request.estimated_wer for request in requests], float)
    of_requests = float(np.std(rates, ddof=1)) / len(rates) ** 0.5 if len(rates) > 1 else 0.0
    calibration = evaluation.calibration
    of_curve = 0.0 if calibration is None else calibration.error(modality)
    return Expected(float(rates.mean()), float(np.hypot(of_requests, of_curve)))


def _beside_table(
    decision: ScaleDecision,
    served: str,
    requests: Sequence[RequestRecord],
    estimated: Expected,
    evaluation: Evaluation,
) -> ScaleDecision:
    """Say whether the table describes the requests at the served scale."""
    scale = Scale.parse(served)
    (traffic,) = surroundings(requests, Noises(evaluation.conditions), 0.0)
    expected = expected_wer(evaluation, traffic, [scale])[scale]
    differs = abs(estimated.rate - expected.rate) > _DIFFERS * float(
        np.hypot(estimated.error, expected.error)
    )
    reason = decision.reason
    if differs:
        reason += (
            f"; the table no longer describes the traffic: {served} is estimated to get {estimated.rate:.1%} "
            f"wrong, and expected to get {expected.rate:.1%}"
        )
    return decision.model_copy(update={"as_expected": not differs, "reason": reason})


def _taken_back(
    decision: ScaleDecision,
    served: str,
    requests: Sequence[RequestRecord],
    evaluation: Evaluation,
    history: Sequence[ScaleDecision],
    params: MonitorParams,
) -> ScaleDecision:
    """Return to the finer scale that the last switch left, if that was a mistake by what came of it."""
    switch = next((earlier for earlier in reversed(history) if earlier.switched), None)
    if switch is None or switch.previous is None or switch.scale != served:
        return decision
    finer = Scale.parse(switch.previous)
    if not finer.is_finer_than(Scale.parse(served)) or Scale.parse(decision.scale).is_finer_than(
        Scale.parse(served)
    ):
        return decision  # it was no saving, or is given up already
    if decision.changed_at is not None and decision.changed_at > switch.at:
        return decision  # another noise: what is wrong now says nothing of the switch
    after = [request for request in requests if request.at > switch.at]
    before = switch.estimated_wer.get(switch.previous)
    if len(after) < params.min_requests or before is None:
        return decision
    estimated = _estimated(after, evaluation, after[0].modality)
    promised = params.max_wer[after[0].modality]
    if before > promised or estimated.at_most(1 - params.confidence) <= promised:
        return decision
    return decision.model_copy(
        update={
            "scale": switch.previous,
            "switched": True,
            "proposed": switch.previous,
            "taken_back": served,
            "reason": f"finer: {served} is taken back: it is estimated to get {estimated.rate:.1%} wrong of "
            f"{len(after)} requests, {promised:.1%} are promised, and {switch.previous} got {before:.1%}; "
            f"otherwise {decision.reason}",
        }
    )
