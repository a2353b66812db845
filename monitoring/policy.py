"""Which scale to serve in today's noise: what each would get wrong in it, one promise, then damping.

The word error table has the gate's numbers; the promise to callers is not the gate's budget. Expected is
the rate over the noise of the whole window, so that traffic which is half clean and half noisy counts as
that. The damping exists because a window of requests is a small sample; where the test for a change has
spoken, it has been waited for already, and the first look after it counts. A drift flag is no input here:
"different from the baseline" is not "noisier". Load is one: among the scales that keep the promise on words
it decides which, and it never breaks that promise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median_low
from typing import Literal, NamedTuple

import numpy as np

from mome.config import MonitorParams
from mome.errors import MonitorError
from mome.expectation import Noises, Surroundings
from mome.records import (
    ESTIMATOR,
    Evaluation,
    Load,
    Modality,
    RequestRecord,
    ScaleDecision,
    Spending,
    level,
    snr_key,
)
from mome.scale_choice import Choice, choose
from mome.scales import Scale
from monitoring.load import explain_load

__all__ = [
    "RULE",
    "Proposal",
    "Verdict",
    "clean_scale",
    "decide",
    "is_measured",
    "propose",
    "servable_scales",
    "spending",
    "surroundings",
]

RULE = "4"  # of the rules below; every decision names it
_A_FEW = 0.1  # of the window: a modality that makes up less is not decided for
_ENOUGH_AFTER_A_CHANGE = 5  # requests; the test has weighed them already
_STALE = 2  # times as old as what still counts, and nothing is known any more


class Verdict(NamedTuple):
    """A decision, and whether it is time to ask for a better model.

    ``beyond_promise`` is true when as many looks in a row as it takes to act saw noise in which no scale
    keeps the promise, although one would on clean speech.
    """

    decision: ScaleDecision
    beyond_promise: bool


class Proposal(NamedTuple):
    """What one look alone would serve.

    Args:
        choice: By the rule of `mome.scale_choice`, after hysteresis.
        beyond: Share of the window that is noisier than anything evaluated.
    """

    choice: Choice
    beyond: float


def servable_scales(evaluation: Evaluation, params: MonitorParams) -> list[Scale]:
    """Return the scales that can be served, finest first.

    Raises:
        MonitorError: If the table has no row for its own modality or no column for a condition, its noise
            was measured by another estimator, or nothing is promised for its modality.
    """
    wer = evaluation.wer.get(evaluation.modality)
    if not wer or not evaluation.conditions:
        raise MonitorError(
            f"the evaluation of {evaluation.corpus!r} has no word error table for {evaluation.modality!r}"
        )
    if evaluation.estimator != ESTIMATOR:
        raise MonitorError(
            f"the noise of the evaluation was measured by estimator {evaluation.estimator!r}, that of the "
            f"requests by {ESTIMATOR!r}, and the two cannot be compared: evaluate and package the model again"
        )
    if evaluation.modality not in params.max_wer:
        raise MonitorError(
            f"monitor.max_wer promises nothing for {evaluation.modality!r}, which the model reads; it has "
            f"{', '.join(params.max_wer)}"
        )
    for scale, row in wer.items():
        missing = {condition.key for condition in evaluation.conditions} - row.keys()
        if missing:
            raise MonitorError(f"scale {scale} was not evaluated at {', '.join(sorted(missing))}")
    return sorted(map(Scale.parse, wer), key=lambda scale: scale.tokens_per_second, reverse=True)


def spending(params: MonitorParams, load: Load | None) -> Spending:
    """Return which of the scales that keep the promise is to be served at such a load."""
    return "finest" if params.spend == "spare" and (load is None or not load.busy) else "cheapest"


def clean_scale(evaluation: Evaluation, params: MonitorParams) -> Scale:
    """Return what to serve before anything was measured: the choice for clean speech."""
    scales = servable_scales(evaluation, params)
    cleanest = max(evaluation.conditions, key=lambda condition: condition.estimated_snr_db)
    columns = [condition.key for condition in evaluation.conditions]
    clean = Surroundings(evaluation.modality, columns, _only(columns.index(cleanest.key), columns))
    return choose(evaluation, [clean], scales, params.promise, spending(params, None)).scale


def propose(
    window: Sequence[RequestRecord],
    evaluation: Evaluation,
    current: Scale,
    params: MonitorParams,
    load: Load | None = None,
) -> Proposal:
    """Return the scale that keeps the promise in the noise of a window, or the best if none does.

    A coarser scale than the current one is proposed only if it would still be chosen were every request
    ``hysteresis_db`` noisier: at the border the finer scale stays, unless there are more callers than it
    can serve.

    Args:
        window: Measured requests, at least one.
        evaluation: The bundle's table.
        current: The scale that is served now.
        params: The promise and the hysteresis.
        load: Of the service, if it is looked at.
    """
    scales = servable_scales(evaluation, params)
    noises = Noises(evaluation.conditions)

    def at(offset_db: float) -> Choice:
        traffic = surroundings(window, noises, offset_db)
        return choose(evaluation, traffic, scales, params.promise, spending(params, load))

    choice = at(0.0)
    if current.is_finer_than(choice.scale) and not (load is not None and load.busy):
        cautious = at(-params.hysteresis_db)
        stays = not current.is_finer_than(cautious.scale)
        choice = choice._replace(scale=current if stays else cautious.scale)
    heard = [request for request in window if request.snr_db is not None and request.noise_kind is not None]
    beyond = sum(
        noises.is_beyond(request.snr_db, request.noise_kind, params.tolerance_db)
        for request in heard
        if request.snr_db is not None and request.noise_kind is not None
    )
    return Proposal(choice, beyond / len(window))


def decide(
    window: Sequence[RequestRecord],
    evaluation: Evaluation,
    current: Scale,
    history: Sequence[ScaleDecision],
    params: MonitorParams,
    now: datetime,
    changed_at: datetime | None = None,
    load: Load | None = None,
) -> Verdict:
    """Take one decision from a window of requests.

    Args:
        window: Newest requests, oldest first; none from before a change of the noise.
        evaluation: The bundle's table.
        current: The scale that is served now.
        history: Earlier decisions, oldest first.
        params: Promise and damping.
        now: The moment of this look.
        changed_at: First request after the last change of the noise, if there was one.
        load: Of the service, if it is looked at.

    Raises:
        MonitorError: As `servable_scales`.
    """
    measured = [request for request in window if is_measured(request, evaluation, params)]
    levels = [request.snr_db for request in measured if request.snr_db is not None]
    seen: Choice | None = None
    cause: Literal["noise", "load"] | None = None

    def verdict(
        reason: str, proposed: Scale | None, *, switch: bool = False, beyond_promise: bool = False
    ) -> Verdict:
        decision = ScaleDecision(
            at=now,
            scale=str(proposed if switch else current),
            previous=str(current),
            switched=switch,
            snr_db=median_low(levels) if levels else None,
            requests=len(window),
            reason=reason,
            proposed=None if proposed is None else str(proposed),
            noise={} if seen is None else {key: round(share, 4) for key, share in seen.noise.items()},
            expected_wer={}
            if seen is None
            else {str(scale): round(expected.rate, 5) for scale, expected in seen.expected.items()},
            max_wer=None if seen is None else params.max_wer[seen.modality],
            keeps_promise=None if seen is None else seen.keeps,
            changed_at=changed_at,
            rule=RULE,
            promise=params.promise,
            spending=spending(params, load),
            load=load,
            cause=cause,
        )
        return Verdict(decision, beyond_promise)

    # As long as the change fills no window of its own, what it was noticed by is all there is.
    changed = bool(window) and window[0].at == changed_at and len(measured) < params.min_requests
    if len(measured) < (_ENOUGH_AFTER_A_CHANGE if changed else params.min_requests):
        finest = servable_scales(evaluation, params)[0]
        if not window and current != finest and _is_stale(history, now, params):
            return verdict(
                f"finer: nothing was measured for {_STALE * params.max_age_s:g} s; {finest} is safest",
                finest,
                switch=True,
            )
        return verdict(f"hold: {len(measured)} measured requests, {params.min_requests} needed", None)
    if history and max(request.at for request in window) <= history[-1].at:
        return verdict("hold: no new request since the last look", None)

    seen, beyond = propose(measured, evaluation, current, params, load)
    proposed = seen.scale
    if proposed != current:
        cause = _cause(measured, evaluation, current, params, load)
    looks = 1 + _agreeing_looks(history, str(proposed), now - timedelta(seconds=params.max_age_s))
    agreed = changed or looks >= params.consecutive_windows
    beyond_promise = (
        looks >= params.consecutive_windows and not seen.keeps and _clean_keeps(evaluation, params)
    )
    why = _explain(seen, beyond, measured, params)
    if load is not None:
        why += f"; {explain_load(load, params)}"
    if changed:
        why += f"; the noise changed {len(measured)} requests ago"
    if proposed == current:
        return verdict(f"keep {current}: {why}", proposed, beyond_promise=beyond_promise)
    finer = proposed.is_finer_than(current)
    # Callers wait now, and the promise on words is kept: nothing is gained by looking twice.
    urgent = load is not None and load.busy and not finer and seen.keeps
    if not agreed and not urgent:
        return verdict(
            f"hold: {looks} of {params.consecutive_windows} looks ask for {proposed}: {why}", proposed
        )
    # A broken promise is not waited for; what saves tokens can.
    switches = [earlier.at for earlier in history if earlier.switched]
    if not finer and not urgent and switches and (now - switches[-1]).total_seconds() < params.cooldown_s:
        waited = f"{params.cooldown_s:g} s have not passed since the last switch"
        return verdict(
            f"hold: {waited}; {proposed} is wanted: {why}", proposed, beyond_promise=beyond_promise
        )
    return verdict(
        f"{'finer' if finer else 'coarser'}: {why}", proposed, switch=True, beyond_promise=beyond_promise
    )


def _is_stale(history: Sequence[ScaleDecision], now: datetime, params: MonitorParams) -> bool:
    """Whether something was measured, and so long ago that it says nothing any more."""
    seen = [earlier.at for earlier in history if earlier.proposed is not None]
    return bool(seen) and (now - seen[-1]).total_seconds() > _STALE * params.max_age_s


def is_measured(request: RequestRecord, evaluation: Evaluation, params: MonitorParams) -> bool:
    """Whether a request can be placed in the table, and something is promised for it."""
    if request.modality not in evaluation.wer or request.modality not in params.max_wer:
        return False
    return request.modality == "video" or (request.snr_db is not None and request.noise_kind is not None)


def surroundings(
    window: Sequence[RequestRecord],
    noises: Noises,
    offset_db: float,
) -> list[Surroundings]:
    """Return what the requests of each modality are surrounded by, were each that much louder.

    A modality that makes up less than a tenth of them is left out.
    """
    found: dict[Modality, list[RequestRecord]] = {}
    for request in window:
        found.setdefault(request.modality, []).append(request)
    surroundings = []
    for modality, requests in found.items():
        if len(requests) < _A_FEW * len(window):
            continue
        heard = [
            (request.snr_db, request.noise_kind)
            for request in requests
            if request.snr_db is not None and request.noise_kind is not None
        ]
        kinds = [kind for _, kind in heard]
        shares = noises.place_all(noises.without_error([snr for snr, _ in heard], kinds) + offset_db, kinds)
        # Lips alone, which no noise is seen on, count as the first condition.
        unheard = np.repeat(_only(0, noises.columns), len(requests) - len(heard), axis=0)
        surroundings.append(Surroundings(modality, noises.columns, np.concatenate([shares, unheard])))
    return surroundings


def _only(column: int, columns: Sequence[str]) -> np.ndarray:
    return np.eye(len(columns))[[column]]


def _cause(
    window: Sequence[RequestRecord],
    evaluation: Evaluation,
    current: Scale,
    params: MonitorParams,
    load: Load | None,
) -> Literal["noise", "load"]:
    """Return what asks for another scale: the load, if at another load the current one would stay."""
    if load is None:
        return "noise"
    other = load.model_copy(update={"busy": not load.busy})
    return "load" if propose(window, evaluation, current, params, other).choice.scale == current else "noise"


def _clean_keeps(evaluation: Evaluation, params: MonitorParams) -> bool:
    """Whether some scale keeps the promise on clean speech: if not, it is not the noise that is to blame."""
    key = snr_key(None)
    rows = evaluation.wer[evaluation.modality].values()
    return any(row[key].rate <= params.max_wer[evaluation.modality] for row in rows if key in row)


def _agreeing_looks(history: Sequence[ScaleDecision], proposed: str, since: datetime) -> int:
    """Count the latest looks that proposed this scale; a look that saw too little is no voice."""
    agreeing = 0
    for earlier in reversed(history):
        if earlier.at < since or (earlier.proposed is not None and earlier.proposed != proposed):
            break
        agreeing += earlier.proposed is not None
    return agreeing


def _explain(seen: Choice, beyond: float, window: Sequence[RequestRecord], params: MonitorParams) -> str:
    kinds = Counter(request.noise_kind for request in window if request.noise_kind is not None)
    named = {"none": "clean", "babble": "in babble", "steady": "in steady noise", "bursts": "in bursts"}
    heard = ", ".join(f"{count / len(window):.0%} {named[kind]}" for kind, count in kinds.most_common())
    most = max(seen.noise, key=lambda key: seen.noise[key])
    said = f"{heard or 'lips alone'}; mostly like {level(most)}"
    if beyond > 0.5:
        said += f", {beyond:.0%} noisier than anything evaluated"
    expected, promised = seen.expected[seen.scale], params.max_wer[seen.modality]
    rate = f"{seen.scale} is expected to get {expected.rate:.1%} wrong"
    if seen.keeps:
        return f"{said}; {rate} of {promised:.1%} promised"
    if expected.rate > promised:
        return f"{said}; no scale keeps the promise of {promised:.1%}, {rate}, the best there is"
    # Expected to keep it, but not as surely as asked: without the bound this would read as a contradiction.
    return (
        f"{said}; no scale is sure to keep the promise of {promised:.1%}, {rate}, the best there is, but "
        f"up to {expected.at_most(params.confidence):.1%} at {params.confidence:.0%} confidence"
    )
