"""What a choice came to, beside what was possible."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from monitoring.simulator.traffic import Traffic
from monitoring.simulator.world import SCALES

__all__ = ["Outcome", "measure_outcome"]

_BACK_AND_FORTH_S = 600.0
_EXACT = 1e-9


class Outcome(NamedTuple):
    """Figures of one rule in one scenario.

    Args:
        tokens: Of its choice, divided by the oracle's.
        outside: Share of the time in which a promise was broken that could have been kept.
        wer: Mean true rate.
        switches: Of the scale.
        flaps: Switches that were taken back within ten minutes.
    """

    tokens: float
    outside: float
    wer: float
    switches: int
    flaps: int


def measure_outcome(traffic: Traffic, chosen: np.ndarray, best: np.ndarray, max_wer: float) -> Outcome:
    """Compare a choice with the oracle's.

    Args:
        traffic: All that is true.
        chosen: Scale of every request, as index into `SCALES`.
        best: The oracle's.
        max_wer: Promised.
    """
    number = np.arange(len(chosen))
    tokens = np.array([scale.tokens_per_second for scale in SCALES])
    broken = traffic.mean_wer[chosen, number] > max_wer + _EXACT
    possible = traffic.mean_wer[best, number] <= max_wer + _EXACT
    return Outcome(
        tokens=float(tokens[chosen].sum() / tokens[best].sum()),
        outside=float((broken & possible).mean()),
        wer=float(traffic.wer[chosen, number].mean()),
        switches=int((np.diff(chosen) != 0).sum()),
        flaps=_flaps(traffic.at, chosen),
    )


def _flaps(at: np.ndarray, chosen: np.ndarray) -> int:
    changes = np.flatnonzero(np.diff(chosen)) + 1
    return sum(
        1
        for earlier, later in pairwise(changes)
        if chosen[later] == chosen[earlier - 1] and at[later] - at[earlier] < _BACK_AND_FORTH_S
    )
