"""The word error rate to expect in measured noise: a measurement has its place between evaluated noises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np

from mome.errors import EvaluationError
from mome.records import Condition, Evaluation, Modality, NoiseKind, WordErrors
from mome.scales import Scale

__all__ = ["Expected", "Noises", "Surroundings", "expected_wer", "standard_error"]

Shares = dict[str, float]  # by column of the word error table; they sum to 1

_ELSEWHERE = 0.1  # of requests whose noise is not that of the window: any of the table is as likely
_LEAST_SPREAD_DB = 0.5  # of the estimator at one true level, where the test clips say less
_NEVER_NAMED = 1e-3  # a name that no test clip got is still possible
_TEN_TO_NINETY = NormalDist().inv_cdf(0.9) * 2  # standard deviations between the 10th and the 90th percentile
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
        (shares,) = self.place_all([snr_db], [kind])
        return {key: float(share) for key, share in zip(self.columns, shares, strict=True) if share > 0.0}

    def place_all(self, snrs_db: Sequence[float] | np.ndarray, kinds: Sequence[NoiseKind]) -> np.ndarray:
        """Return the share of every column for each of many measurements.

        Args:
            snrs_db: Estimated levels.
            kinds: What the estimator called the noise of each.

        Returns:
            Array of shape (measurements, columns), in the order of `columns`; rows sum to 1.
        """
        weight_of = np.array([self._weights(kind) for kind in kinds]).reshape(len(kinds), len(self._lines))
        shares = np.zeros((len(kinds), len(self.columns)))
        rows = np.arange(len(kinds))
        for number, (columns, estimated) in enumerate(self._along):
            # Linear interpolation: how far along the line, and so how much of the points on both sides.
            along = np.interp(snrs_db, estimated, np.arange(len(estimated)))
            below = along.astype(int)
            part = along - below
            shares[rows, columns[below]] += (1 - part) * weight_of[:, number]
            shares[rows, columns[np.minimum(below + 1, len(columns) - 1)]] += part * weight_of[:, number]
        return shares

    def likely(
        self,
        snrs_db: Sequence[float] | np.ndarray,
        kinds: Sequence[NoiseKind],
        prior: Mapping[str, float],
    ) -> np.ndarray:
        """Return how probable each column is for measurements, given what others were surrounded by.

        By Bayes' rule: how often clips of a column are measured so, times how frequent that column is. One
        clip says little by itself: quiet speech reads 15 dB now and then, and so does speech at 10 dB.

        Args:
            snrs_db: Estimated levels.
            kinds: What the estimator called the noise of each.
            prior: Share of each column in earlier requests; nothing if there were none.

        Returns:
            Array of shape (measurements, columns), in the order of `columns`; rows sum to 1.
        """
        estimated = np.array([condition.estimated_snr_db for condition in self.conditions])
        spreads = [(condition.high - condition.low) / _TEN_TO_NINETY for condition in self.conditions]
        spread = np.maximum(spreads, _LEAST_SPREAD_DB)
        # Beyond the ends of the table the widest column would win, whichever it is.
        levels = np.clip(snrs_db, estimated.min(), estimated.max())
        named = {
            kind: np.array([max(_NEVER_NAMED, each.kinds.get(kind, 0.0)) for each in self.conditions])
            for kind in set(kinds)
        }
        seen = np.array([prior.get(key, 0.0) for key in self.columns])
        even = np.full(len(seen), 1.0 / len(seen))
        before = (1 - _ELSEWHERE) * seen / seen.sum() + _ELSEWHERE * even if seen.sum() > 0.0 else even
        logs = np.log(before / spread) - ((levels[:, None] - estimated) / spread) ** 2 / 2
        logs += np.log([named[kind] for kind in kinds])
        weights = np.exp(logs - logs.max(axis=1, keepdims=True))
        shares: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
        return shares

    def without_error(self, snrs_db: Sequence[float], kinds: Sequence[NoiseKind]) -> np.ndarray:
        """Take the spread of the estimator out of many measurements, so that their true spread remains.

        Harm grows faster than noise: measurements that err to both sides would look worse than what they
        measure. Those of one kind move towards their mean until their variance is what they had before, less
        that of clips of one true level.

        Args:
            snrs_db: Estimated levels.
            kinds: What the estimator called the noise of each.

        Returns:
            As many levels.
        """
        levels = np.array(snrs_db, float)
        for kind in set(kinds):
            chosen = np.array([each == kind for each in kinds])
            line = max(self._lines, key=lambda points: sum(point.kinds.get(kind, 0.0) for point in points))
            spreads = [(point.high - point.low) / _TEN_TO_NINETY for point in line]
            of_kind = levels[chosen]
            error = np.interp(of_kind, [point.estimated_snr_db for point in line], spreads)
            variance = float(np.var(of_kind))
            true = max(0.0, variance - float(np.mean(error**2)))
            if variance > 0.0:
                middle = of_kind.mean()
                levels[chosen] = middle + (of_kind - middle) * (true / variance) ** 0.5
        return levels

    @cached_property
    def columns(self) -> list[str]:
        """The columns of the table, in the order of the conditions."""
        return [condition.key for condition in self.conditions]

    def is_beyond(self, snr_db: float, kind: NoiseKind, tolerance_db: float) -> bool:
        """Whether a measurement lies below nearly all clips of the noisiest level of its kind."""
        if kind not in self._lowest:
            named = [line[0] for line in self._lines]
            self._lowest[kind] = max(named, key=lambda condition: condition.kinds.get(kind, 0.0)).low
        return snr_db < self._lowest[kind] - tolerance_db

    def is_clear(self, snr_db: float) -> bool:
        """Whether a measurement is that of nearly all clean clips, or above: by how much does not matter."""
        return any(snr_db >= condition.low for condition in self.conditions if condition.noise is None)

    def true_snr_db(self, snr_db: float, kind: NoiseKind) -> float:
        """Turn a measurement into the level at which noise of its kind has to be mixed to look like that.

        Linear between the evaluated noisy conditions, one decibel per decibel outside them.
        """
        lines = [[point for point in line if point.snr_db is not None] for line in self._lines]
        lines = [line for line in lines if line]
        if not lines:
            return snr_db
        line = max(lines, key=lambda points: sum(point.kinds.get(kind, 0.0) for point in points))
        estimated = [point.estimated_snr_db for point in line]
        inside = min(max(snr_db, estimated[0]), estimated[-1])
        return float(np.interp(inside, estimated, [point.snr_db or 0.0 for point in line])) + snr_db - inside

    def _weights(self, kind: NoiseKind) -> np.ndarray:
        """Return how likely each line is where a clip was called that; they sum to 1."""
        if kind not in self._weighed:
            weights = np.array(
                [
                    max(
                        _NEVER_NAMED,
                        float(np.mean([point.kinds.get(kind, 0.0) for point in line if point.noise])),
                    )
                    if any(point.noise for point in line)
                    else 1.0
                    for line in self._lines
                ]
            )
            self._weighed[kind] = weights / weights.sum()
        return self._weighed[kind]

    # Every request asks: what stays the same is found once.

    @cached_property
    def _weighed(self) -> dict[NoiseKind, np.ndarray]:
        """Filled as it is asked for."""
        return {}

    @cached_property
    def _along(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each line, which columns its points are, and what the estimator says of them."""
        return [
            (
                np.array([self.columns.index(point.key) for point in line]),
                np.array([point.estimated_snr_db for point in line]),
            )
            for line in self._lines
        ]

    @cached_property
    def _lowest(self) -> dict[NoiseKind, float]:
        """By kind, what nearly all clips of its noisiest level lie above; filled as it is asked for."""
        return {}

    @cached_property
    def _lines(self) -> list[list[Condition]]:
        """The conditions of each noise with the clean one, noisiest first."""
        clean = [condition for condition in self.conditions if condition.noise is None]
        noises = dict.fromkeys(condition.noise for condition in self.conditions if condition.noise)
        lines = [[*clean, *(each for each in self.conditions if each.noise == noise)] for noise in noises]
        by_estimate = [sorted(line, key=lambda condition: condition.estimated_snr_db) for line in lines]
        return by_estimate or [clean]


@dataclass(frozen=True)
class Surroundings:
    """What requests of one modality are surrounded by.

    Args:
        modality: Of all of them.
        columns: Of the word error table.
        shares: Of each column, for each request; shape (requests, columns).
    """

    modality: Modality
    columns: Sequence[str]
    shares: np.ndarray

    @property
    def mean(self) -> Shares:
        """The share of each column in all of them."""
        each = self.shares.mean(axis=0).tolist()
        return {key: share for key, share in zip(self.columns, each, strict=True) if share > 0.0}


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
    shares = surroundings.shares
    each = shares @ np.array([row[key].rate for key in surroundings.columns])
    # The columns were heard by the same test speakers: their errors add up, they do not cancel out.
    of_table = float(
        shares.mean(axis=0) @ np.array([standard_error(row[key]) for key in surroundings.columns])
    )
    of_window = float(np.std(each, ddof=1)) / len(each) ** 0.5 if len(each) > 1 else 0.0
    return Expected(float(np.mean(each)), float(np.hypot(of_table, of_window)))


def standard_error(cell: WordErrors) -> float:
    """Return the standard deviation that a word error rate of the table is known to."""
    if cell.errors == 0:
        return 1.0 / cell.words  # no error was seen: about one may have been missed
    return (cell.high - cell.low) / _INTERVAL
