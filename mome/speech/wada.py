"""WADA-SNR: read the signal-to-noise ratio off the distribution of the amplitudes.

Clean speech is mostly near zero with rare large samples; its amplitude follows a Gamma distribution
with shape 0.4. Noise of many sources is Gaussian. How far ``ln E|x|`` lies above ``E ln|x|`` then
tells how much of each is in the sum, whatever the level. The table from that distance to decibels is
computed here from the model, not copied.

Source: Kim & Stern, "Robust Signal-to-Noise Ratio Estimation Based on Waveform Amplitude Distribution
Analysis", Interspeech 2008, equations 5 to 8.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.special import digamma, gammaincinv, ndtr

__all__ = ["MAX_SNR_DB", "MIN_SNR_DB", "amplitude_spread", "snr_of_spread"]

MIN_SNR_DB = -20.0  # below it the sum is Gaussian for all that the amplitudes can tell
MAX_SNR_DB = 40.0  # above it nobody hears the noise, and a quantised recording cannot show it
SPEECH_SHAPE = 0.4  # Gamma shape of speech amplitudes, the paper's choice

_Array = npt.NDArray[np.float64]


def amplitude_spread(samples: npt.NDArray[np.floating], smallest: float) -> float:
    """Return ``ln E|x| - E ln|x|``: 0.41 for Gaussian noise, 1.6 for the speech model.

    Args:
        samples: Any shape, not empty.
        smallest: Amplitudes below it count as it; the logarithm of a digital zero says nothing about noise.
    """
    magnitudes = np.maximum(np.abs(samples), smallest)
    return float(np.log(magnitudes.mean(dtype=np.float64)) - np.log(magnitudes).mean(dtype=np.float64))


def snr_of_spread(spread: float) -> float:
    """Return the signal-to-noise ratio in dB, within `MIN_SNR_DB` .. `MAX_SNR_DB`, that has this spread."""
    spreads, levels_db = _table()
    return float(np.interp(spread, spreads, levels_db))


@cache
def _table() -> tuple[_Array, _Array]:
    """Return the spread at every whole decibel, increasing, and those decibels."""
    levels_db = np.arange(MIN_SNR_DB, MAX_SNR_DB + 1.0)
    # Speech amplitudes as equally likely quantiles, scaled so that their mean square is one:
    # E s^2 of a Gamma distribution with unit rate is shape * (shape + 1).
    quantiles = (np.arange(4096) + 0.5) / 4096
    speech = gammaincinv(SPEECH_SHAPE, quantiles) / np.sqrt(SPEECH_SHAPE * (SPEECH_SHAPE + 1.0))
    spreads = np.empty_like(levels_db)
    for index, level_db in enumerate(levels_db):
        noise = 10.0 ** (-level_db / 20.0)  # standard deviation
        ratio = speech / noise
        mean = noise * _mean_magnitude(ratio).mean()
        mean_log = np.log(noise) + _mean_log_magnitude(ratio).mean()
        spreads[index] = np.log(mean) - mean_log
    # At the noisy end neighbours differ by less than the rounding of the quantiles.
    return np.maximum.accumulate(spreads), levels_db


def _mean_magnitude(offset: _Array) -> _Array:
    """Return ``E|offset + g|`` for standard normal ``g``: the mean of a folded normal distribution."""
    density = np.exp(-0.5 * offset**2) / np.sqrt(2.0 * np.pi)
    return np.asarray(2.0 * density + offset * (1.0 - 2.0 * ndtr(-offset)))


def _mean_log_magnitude(offset: _Array) -> _Array:
    """Return ``E ln|offset + g|`` for standard normal ``g`` and ``offset >= 0``.

    ``(offset + g)^2`` is a Poisson mixture of chi-square variables of 1 + 2j degrees of freedom, whose
    mean logarithms are known; far from zero the Taylor series around the offset takes over.
    """
    near, exact = _mean_log_near_zero()
    far = np.maximum(offset, 1.0)
    series = np.log(far) - 1.0 / (2.0 * far**2) - 3.0 / (4.0 * far**4)
    return np.where(offset < near[-1], np.interp(offset, near, exact), series)


@cache
def _mean_log_near_zero() -> tuple[_Array, _Array]:
    """Return offsets from 0 to 8 and the exact mean logarithm at each."""
    near = np.linspace(0.0, 8.0, 801)
    counts = np.arange(160)  # mean of the Poisson at offset 8 is 32: beyond 160 nothing is left
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(counts[1:]))])
    means = np.maximum(near**2 / 2.0, 1e-300)[:, None]
    weights = np.exp(counts * np.log(means) - means - log_factorials)
    return near, 0.5 * (weights @ (digamma(0.5 + counts) + np.log(2.0)))
