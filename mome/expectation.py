"""The word error rate to expect in measured noise: a measurement has its place between evaluated noises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from mome.errors import EvaluationError
from mome.records import Condition, Evaluation, Modality, NoiseKind, WordErrors
from mome.scales import Scale

__all__ = ["Expected", "Noises", "Surroundings", "expected_wer"]

Shares = dict[str, float]  # by column of the word error table; they sum to 1

_NEVER_NAMED = 1e-3  # a name that no test clip got is still possible
_INTERVAL = NormalDist().inv_cdf(0.975) * 2  # standard deviations that a 95 % interval is wide


@dataclass(frozen=True)
class Noises:
    """The evaluated noises as the estimator sees them; places a measurement among them.

    Each noise is a line of levels from its noisiest to clean, ordered by what the estimator says of them:
    a measurement can be compared with measurements only. Which lines a measurement lies on, and by how
    much, says how often the clips of each were called what it was called.

    Args:
        conditions: Of the evaluation.
    """

    conditions: Sequence[Condition]

    def place(self, snr_db: float, kind: NoiseKind) -> Shares:
        """Return the columns that a measurement lies between, with the share of each."""
        lines = self._lines()
        weights = [
            max(_NEVER_NAMED, float(np.mean([point.kinds.get(kind, 0.0) for point in line if point.noise])))
            if any(point.noise for point in line)
            else 1.0
            for line in lines
        ]
        shares: Shares = {}
        for line, weight in zip(lines, weights, strict=True):
            estimates = [point.estimated_snr_db for point in line]
            for number, point in enumerate(line):
                # What linear interpolation takes of this point.
                part = float(np.interp(snr_db, estimates, np.eye(len(line))[number]))
                if part > 0.0:
                    shares[point.key] = shares.get(point.key, 0.0) + part * weight / sum(weights)
        return shares

    def is_beyond(self, snr_db: float, kind: NoiseKind, tolerance_db: float) -> bool:
        """Whether a measurement lies below nearly all clips of the noisiest level of its kind."""
        named = [line[0] for line in self._lines()]
        likeliest = max(named, key=lambda condition: condition.kinds.get(kind, 0.0))
        return snr_db < likeliest.low - tolerance_db

    def true_snr_db(self, snr_db: float, kind: NoiseKind) -> float:
        """Turn a measurement into the level at which noise of its kind has to be mixed to look like that.

        Linear between the evaluated noisy conditions, one decibel per decibel outside them.
        """
        lines = [[point for point in line if point.snr_db is not None] for line in self._lines()]
        lines = [line for line in lines if line]
        if not lines:
            return snr_db
        line = max(lines, key=lambda points: sum(point.kinds.get(kind, 0.0) for point in points))
        estimated = [point.estimated_snr_db for point in line]
        inside = min(max(snr_db, estimated[0]), estimated[-1])
        return float(np.interp(inside, estimated, [point.snr_db or 0.0 for point in line])) + snr_db - inside

    def _lines(self) -> list[list[Condition]]:
        """Return the conditions of each noise with the clean one, noisiest first."""
        clean = [condition for condition in self.conditions if condition.noise is None]
        noises = dict.fromkeys(condition.noise for condition in self.conditions if condition.noise)
        lines = [[*clean, *(each for each in self.conditions if each.noise == noise)] for noise in noises]
        by_estimate = [sorted(line, key=lambda condition: condition.estimated_snr_db) for line in lines]
        return by_estimate or [clean]


@dataclass(frozen=True)
class Surroundings:
    """What requests of one modality are surrounded by: a share of table columns for each of them."""

    modality: Modality
    requests: Sequence[Shares]

    @property
    def mean(self) -> Shares:
        """The share of each column in all of them."""
        total: Shares = {}
        for shares in self.requests:
            for key, share in shares.items():
                total[key] = total.get(key, 0.0) + share / len(self.requests)
        return total


@dataclass(frozen=True)
class Expected:
    """A word error rate to expect, and how sure that is.

    Args:
        rate: Expected, 0.03 = 3 %.
        error: Standard deviation, of what the table and the number of requests leave open.
    """

    rate: float
    error: float

    def at_most(self, confidence: float) -> float:
        """Return the rate that the true one stays below with this probability."""
        return self.rate + NormalDist().inv_cdf(confidence) * self.error


def expected_wer(
    evaluation: Evaluation, surroundings: Surroundings, scales: Iterable[Scale]
) -> dict[Scale, Expected]:
    """Return what each scale is expected to get wrong of such requests.

    Raises:
        EvaluationError: If the table lacks the modality, a scale or a column.
    """
    rows = evaluation.wer.get(surroundings.modality)
    if rows is None:
        raise EvaluationError(f"the evaluation has no word error table for {surroundings.modality!r}")
    try:
        return {scale: _expected(rows[str(scale)], surroundings) for scale in scales}
    except KeyError as error:
        raise EvaluationError(f"the word error table of {surroundings.modality!r} lacks {error}") from None


def _expected(row: Mapping[str, WordErrors], surroundings: Surroundings) -> Expected:
    each = [sum(share * row[key].rate for key, share in shares.items()) for shares in surroundings.requests]
    # The columns were heard by the same test speakers: their errors add up, they do not cancel out.
    of_table = sum(share * _error(row[key]) for key, share in surroundings.mean.items())
    of_window = float(np.std(each, ddof=1)) / len(each) ** 0.5 if len(each) > 1 else 0.0
    return Expected(float(np.mean(each)), float(np.hypot(of_table, of_window)))


def _error(cell: WordErrors) -> float:
    if cell.errors == 0:
        return 1.0 / cell.words  # no error was seen: about one may have been missed
    return (cell.high - cell.low) / _INTERVAL
