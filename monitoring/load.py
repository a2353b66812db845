"""How busy the service is: whether it keeps its promise on latency, from the newest lines of the request log.

What is in the log has been answered; those that wait now will have waited longer. So it is busy not only when
callers are late, but as soon as they wait for each other. It is so no more when fewer seconds of recordings
come than it carried when it became too much: a finer scale would otherwise be served, and be too much again,
for as long as the callers stay. What comes is told from when callers came: they are answered in batches, of
which a few seconds see one more or one less, and what chance alone can explain is not fewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from mome.config import MonitorParams
from mome.records import Load, RequestRecord, ScaleDecision

__all__ = ["explain_load", "has_turned", "latest_load", "measure_load"]

_LOOK_BACK_S = 15.0
_WAITED = 0.2  # of the promise, before the model began
_FEW_LATE = 0.05  # of the requests: it is of 95 in 100 that something is promised
_LEAST_LATE = 2  # one may be anything
_LESS = 0.8  # of what it carried when it became too much
_DEVIATIONS = 3.0


def measure_load(
    window: Sequence[RequestRecord], before: Load | None, now: datetime, params: MonitorParams
) -> Load | None:
    """Return the load of the last seconds, None where no latency is promised.

    Args:
        window: Newest answered requests, oldest first.
        before: Of the look before.
        now: The moment of this look.
        params: The promise; ``cooldown_s`` is how long it stays busy at least, and ``max_age_s`` after how
            long a finer scale is tried whatever comes.
    """
    if not params.max_latency_ms:
        return None
    since = now - timedelta(seconds=_LOOK_BACK_S)
    recent = [request for request in window if request.at > since]
    # A window that is full has forgotten what was before it.
    filled = len(recent) == params.window
    span_s = max(1e-3, (now - recent[0].at).total_seconds()) if filled else _LOOK_BACK_S
    read = [request for request in recent if request.waited_ms is not None]
    latency = np.array([request.latency_ms for request in read])
    waited = np.array([request.waited_ms for request in read], float)
    refused = sum(request.refused for request in recent)
    load = Load(
        requests=len(read),
        refused=refused,
        p95_ms=float(np.percentile(latency, 95)) if read else None,
        waited_p95_ms=float(np.percentile(waited, 95)) if read else None,
        speech_s_per_s=sum(request.duration_s for request in read) / span_s,
        arriving_s_per_s=_arriving(read, refused),
        busy=False,
    )
    most_ms = params.max_latency_ms
    late = int(((latency > most_ms) | (waited > _WAITED * most_ms)).sum())
    is_late = load.refused > 0 or (late >= _LEAST_LATE and late > _FEW_LATE * len(read))
    if before is None or not before.busy:
        if is_late:
            return load.model_copy(update={"busy": True, "since": now, "carried": _carried(load)})
        return load if before is None else load.model_copy(update={"since": before.since})
    busy_s = (now - before.since).total_seconds() if before.since is not None else 0.0
    # Until those that waited then are answered, it is the same trouble, and more may be carried.
    carried = before.carried or 0.0
    if busy_s <= _LOOK_BACK_S:
        carried = max(carried, _carried(load))
    by_chance = _DEVIATIONS / np.sqrt(max(1, len(read)))  # of how many come who know nothing of each other
    fewer = _come(load) * (1 + by_chance) < _LESS * carried or busy_s > params.max_age_s
    if not is_late and fewer and busy_s >= params.cooldown_s:
        return load.model_copy(update={"since": now})
    return load.model_copy(update={"busy": True, "since": before.since, "carried": carried})


def _arriving(read: Sequence[RequestRecord], refused: int) -> float | None:
    """Return how many seconds of recordings came in a second; None if too few have come to tell."""
    came = sorted((each.at - timedelta(milliseconds=each.latency_ms), each.duration_s) for each in read)
    span_s = (came[-1][0] - came[0][0]).total_seconds() if came else 0.0
    if span_s <= 0:
        return None
    # The first one opens the time in which the others came.
    return sum(seconds for _, seconds in came[1:]) / span_s * (1 + refused / len(came))


def _come(load: Load) -> float:
    return load.speech_s_per_s if load.arriving_s_per_s is None else load.arriving_s_per_s


def _carried(load: Load) -> float:
    # No more was carried than came: more is answered in these seconds than in others, a batch at a time.
    return min(load.speech_s_per_s, _come(load))


def has_turned(load: Load | None, before: Load | None) -> bool:
    """Whether the service has become busy, or is so no more; before anything was measured it was not."""
    return load is not None and load.busy != (before is not None and before.busy)


def latest_load(history: Sequence[ScaleDecision]) -> Load | None:
    """Return the load of the newest look that looked at it."""
    return next((each.load for each in reversed(history) if each.load is not None), None)


def explain_load(load: Load, params: MonitorParams) -> str:
    """Return the load in words."""
    said = "busy" if load.busy else "not busy"
    if load.p95_ms is not None:
        said += f": 95 % of the callers wait at most {load.p95_ms:.0f} of {params.max_latency_ms:g} ms"
    return f"{said}, {load.refused} refused" if load.refused else said
