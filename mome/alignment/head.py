"""A linear classifier of frames, solved at once: Gaussians with one covariance, as recognisers began."""

# Shape letters: T frames, D width of a feature, K classes.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "Head", "fit"]

_SHRINKAGE = 0.1  # of the covariance towards a sphere, so that few frames will do
_FEW = 5.0  # frames of the mean over all, which a class that is rarely heard leans on
_LEAST_SPREAD = 1e-5
_AT_ONCE = 8192  # frames that are held in double precision

Floats = NDArray[np.float32]


class Head(NamedTuple):
    """Scores of a frame: logarithms of how likely each class is to sound so, up to a number of the frame."""

    weight_KD: Floats
    bias_K: Floats

    def __call__(self, features_TD: Floats) -> Floats:
        """Return scores ``(T, K)``."""
        return features_TD @ self.weight_KD.T + self.bias_K


def fit(features_TD: Floats, labels_T: NDArray[np.int64], num_classes: int) -> Head:
    """Return the linear discriminant of labelled frames.

    Likelihoods, without the share of frames that a class has: silence, the most frequent one, would eat
    into the words.

    Args:
        features_TD: Of any encoder.
        labels_T: Classes, from 0.
        num_classes: ``K``.
    """
    centre_D = features_TD.mean(axis=0)
    spread_D = features_TD.std(axis=0) + _LEAST_SPREAD
    values_TD = (features_TD - centre_D) / spread_D
    counts_K = np.bincount(labels_T, minlength=num_classes)
    order_T = np.argsort(labels_T, kind="stable")
    sums_KD = np.zeros((num_classes, values_TD.shape[1]), np.float32)
    there = np.flatnonzero(counts_K)
    begins = np.cumsum(counts_K)[there] - counts_K[there]
    sums_KD[there] = np.add.reduceat(values_TD[order_T], begins, axis=0)
    means_KD = sums_KD / (counts_K[:, None] + _FEW)  # the mean over all is zero
    values_TD -= means_KD[labels_T]
    covariance_DD = _products(values_TD) / len(values_TD)
    width = len(covariance_DD)
    sphere = _SHRINKAGE * np.trace(covariance_DD) / width
    covariance_DD = (1 - _SHRINKAGE) * covariance_DD + sphere * np.eye(width)
    weight_KD = np.linalg.solve(covariance_DD, means_KD.T).T
    bias_K = -0.5 * (weight_KD * means_KD).sum(axis=1)
    weight_KD /= spread_D
    return Head(weight_KD.astype(np.float32), (bias_K - weight_KD @ centre_D).astype(np.float32))


def _products(values_TD: Floats) -> NDArray[np.float64]:
    """Return ``valuesᵀ · values``, in double precision: in single it differs with the threads that sum it."""
    total_DD = np.zeros((values_TD.shape[1],) * 2)
    for start in range(0, len(values_TD), _AT_ONCE):
        part_TD = values_TD[start : start + _AT_ONCE].astype(np.float64)
        total_DD += part_TD.T @ part_TD
    return total_DD
