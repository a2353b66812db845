"""Do these lips move with this sound? How much a mouth moves beside how loud it is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mome.speech.noise_bands import HOP, WINDOW, band_powers

__all__ = ["agreement"]

_FLOOR = 1e-4  # of the loudest moment of a band: below it there is only noise
_MOST_LAG = 5  # frames: further apart, sound and picture are not of one recording, or nobody could watch it
_LIPS = slice(28, 76), slice(18, 78)  # of the crop, with the chin that follows them
_SMOOTHING = np.array([0.25, 0.5, 0.25])


def agreement(mouth: npt.NDArray[np.uint8], samples: npt.NDArray[np.float32]) -> float:
    """Return how well lips agree with sound, -1 to 1: their correlation, up to 200 ms apart.

    Args:
        mouth: ``(T, 96, 96)`` at 25 fps.
        samples: ``(N,)`` at 16 kHz, from the first frame on.
    """
    movement, level = _movement(mouth), _loudness(samples, len(mouth))
    return max(_correlation(movement, level, lag) for lag in range(-_MOST_LAG, _MOST_LAG + 1))


def _movement(mouth: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    lips = mouth[:, *_LIPS].astype(np.float32)
    moved = np.abs(np.diff(lips, axis=0, prepend=lips[:1])).mean(axis=(1, 2), dtype=np.float64)
    return np.convolve(moved, _SMOOTHING, mode="same")


def _loudness(samples: npt.NDArray[np.float32], num_frames: int) -> npt.NDArray[np.float64]:
    """Return the mean level of all bands at each frame ``(T,)``: consonants count as much as vowels."""
    before = HOP // 2  # so that a frame stands in the middle of its sound
    needed = num_frames * 2 * HOP + WINDOW - HOP
    padded = np.pad(samples, (before, max(0, needed - before - len(samples))))[:needed]
    powers = band_powers(padded[None])[0].reshape(num_frames, 2, -1).mean(axis=1, dtype=np.float64)
    floor = _FLOOR * powers.max(axis=0) + np.finfo(np.float32).tiny
    level: npt.NDArray[np.float64] = np.log(powers + floor).mean(axis=1)
    return level


def _correlation(lips: npt.NDArray[np.float64], level: npt.NDArray[np.float64], lag: int) -> float:
    """Return the correlation of lips with the sound ``lag`` frames later; 0 where one of them is still."""
    first, second = (lips[: len(lips) - lag], level[lag:]) if lag >= 0 else (lips[-lag:], level[:lag])
    if len(first) < 2 * _MOST_LAG or not (first.std() and second.std()):
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])
