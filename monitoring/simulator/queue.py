"""Callers before a few workers: who waits, who is refused, and what the monitor makes of it.

Each worker reads one recording at a time, first come, first served; batches are left out, so a worker here
stands for as much of a machine as one text takes. Times are those of Llama-3.2-1B shapes on a processor
(docs/performance.md): 4.81 s at a4v2 and 2.98 s at a16v5 for ten seconds of speech, 261 and 92 positions;
the pairs between stand on the line through both.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

import numpy as np

from mome.config import MonitorParams
from mome.records import Evaluation, Load, RequestRecord, ScaleDecision
from mome.scales import Scale
from monitoring.load import has_turned, measure_load
from monitoring.policy import clean_scale, decide
from monitoring.recent import Recent
from monitoring.simulator.rules import BEGIN, request
from monitoring.simulator.world import SCALES, World, measure

__all__ = ["Callers", "Played", "arrivals", "play", "service_s"]

_POLL_S = 1.0  # of the controller
_LOOK_S = 60.0  # between two looks while nothing is new
_REFUSED_AFTER_S = 30.0  # of waiting, as serving/admission.py
_KEPT = 400  # decisions: what a look still reads
_CLIPS_DB = 1.5
_PROMPT = 11  # positions beside those of the recording
_FINEST_S, _COARSEST_S = 4.81, 2.98  # for ten seconds of speech
_SHORTEST_S, _LONGEST_S = 5.0, 15.0


class Callers(NamedTuple):
    """Who comes, in order of time; arrays of one entry per caller.

    Args:
        at_s: Since the beginning.
        duration_s: Of what they say.
        snr_db: True level of the babble around them.
    """

    at_s: np.ndarray
    duration_s: np.ndarray
    snr_db: np.ndarray


class Played(NamedTuple):
    """What became of them; arrays of one entry per caller.

    Args:
        latency_s: From coming to the last word; infinite for the refused.
        scale: Index into `SCALES`.
        decisions: Of the monitor.
    """

    latency_s: np.ndarray
    scale: np.ndarray
    decisions: list[ScaleDecision]


def arrivals(
    parts: list[tuple[float, float]], snr_db: float, rng: np.random.Generator, spread_db: float = _CLIPS_DB
) -> Callers:
    """Draw callers, of whom so many come in a second, for so many seconds.

    Args:
        parts: Seconds and callers a second, in turn.
        snr_db: Level of the babble around all of them.
        rng: Of all draws.
        spread_db: How far clips spread around it.
    """
    at: list[np.ndarray] = []
    began_s = 0.0
    for seconds, per_s in parts:
        at.append(began_s + seconds * np.sort(rng.random(rng.poisson(seconds * per_s))))
        began_s += seconds
    at_s = np.concatenate(at)
    duration_s = rng.uniform(_SHORTEST_S, _LONGEST_S, len(at_s))
    return Callers(at_s, duration_s, snr_db + spread_db * rng.standard_normal(len(at_s)))


def service_s(scale: Scale, duration_s: float) -> float:
    """Return how long a worker is busy with a recording."""
    most, least = SCALES[0], SCALES[-1]
    per_position = (_FINEST_S - _COARSEST_S) / (_positions(most) - _positions(least))
    return (_COARSEST_S + per_position * (_positions(scale) - _positions(least))) * duration_s / 10


def play(
    callers: Callers,
    workers: int,
    table: Evaluation,
    params: MonitorParams | None,
    rng: np.random.Generator,
    fixed: Scale = SCALES[0],
    reaches_s: float = 0.0,
) -> Played:
    """Let the callers be served.

    Args:
        callers: In order of time.
        workers: That read.
        table: Of the monitor.
        params: Of the monitor; None serves ``fixed`` for ever.
        rng: Of the measurements of noise.
        fixed: That scale.
        reaches_s: Until a decision is served; a cluster's kubelet takes up to a minute.
    """
    measured, kinds = measure(np.zeros(len(callers.at_s), int), callers.snr_db, rng)
    free = [0.0] * workers
    latency = np.full(len(callers.at_s), np.inf)
    scales = np.empty(len(callers.at_s), int)
    monitor = None if params is None else _Monitor(table, params, reaches_s)
    done: list[tuple[float, int, float]] = []  # when, whose, and how long it had waited
    refused = 0

    def log(until_s: float) -> Iterator[RequestRecord]:
        nonlocal refused
        while done and done[0][0] <= until_s:
            at_s, number, waited_s = heapq.heappop(done)
            line = request(number, BEGIN + timedelta(seconds=at_s), float(measured[number]), kinds[number])
            yield line.model_copy(
                update={
                    "scale": str(SCALES[scales[number]]),
                    "duration_s": float(callers.duration_s[number]),
                    "latency_ms": 1000 * float(latency[number]),
                    "waited_ms": 1000 * waited_s,
                    "refused": refused,
                }
            )
            refused = 0

    for number, at_s in enumerate(callers.at_s.tolist()):
        if monitor is not None:
            while monitor.next_s <= at_s:
                monitor.turn(log(monitor.next_s))
        scale = fixed if monitor is None else monitor.served(at_s)
        scales[number] = SCALES.index(scale)
        begins_s = max(at_s, free[0])
        if begins_s - at_s > _REFUSED_AFTER_S:
            refused += 1
            continue
        ends_s = begins_s + service_s(scale, float(callers.duration_s[number]))
        heapq.heapreplace(free, ends_s)
        latency[number] = ends_s - at_s
        heapq.heappush(done, (ends_s, number, begins_s - at_s))
    return Played(latency, scales, [] if monitor is None else monitor.decisions)


@dataclass
class _Monitor:
    """Turns as `monitoring.watch` takes them, on a log in memory."""

    table: Evaluation
    params: MonitorParams
    reaches_s: float
    next_s: float = 0.0
    decisions: list[ScaleDecision] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._recent = Recent(self.table, self.params)
        self._window: deque[RequestRecord] = deque(maxlen=self.params.window)
        self._load: Load | None = None
        self._looked_s = -_LOOK_S
        self._current = clean_scale(self.table, self.params)
        self._coming: deque[tuple[float, Scale]] = deque([(0.0, self._current)])

    def turn(self, new: Iterator[RequestRecord]) -> None:
        lines = list(new)
        now = BEGIN + timedelta(seconds=self.next_s)
        self._window.extend(lines)
        self._recent.add(lines)
        before = self._load
        self._load = measure_load(self._window, self._load, now, self.params)
        is_due = self.next_s - self._looked_s >= _LOOK_S
        if is_due or has_turned(self._load, before) or (lines and self._recent.is_new):
            self._looked_s = self.next_s
            decision = decide(
                self._recent.window(now),
                self.table,
                self._current,
                self.decisions[-_KEPT:],
                self.params,
                now,
                self._recent.changed_at,
                self._load,
            ).decision
            self.decisions.append(decision)
            if decision.switched:
                self._current = Scale.parse(decision.scale)
                self._coming.append((self.next_s + self.reaches_s, self._current))
        self.next_s += _POLL_S

    def served(self, at_s: float) -> Scale:
        """Return the newest scale that has reached the service."""
        while len(self._coming) > 1 and self._coming[1][0] <= at_s:
            self._coming.popleft()
        return self._coming[0][1]


def _positions(scale: Scale) -> float:
    return _PROMPT + 10 * scale.tokens_per_second


def windows_outside(
    callers: Callers, played: Played, world: World, max_wer: float, size: int = 100
) -> tuple[int, int]:
    """Return how many windows of so many answers got more words wrong than promised, and of how many."""
    answered = np.isfinite(played.latency_s)
    rates = world.wer(np.zeros(len(callers.at_s), int), callers.snr_db)
    rate = rates[played.scale, np.arange(len(callers.at_s))][answered]
    means = rate[: len(rate) // size * size].reshape(-1, size).mean(axis=1)
    return int((means > max_wer).sum()), len(means)
