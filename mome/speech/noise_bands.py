"""Sound as power per frame and frequency band: what the noise estimator sees."""

# Shape letters: B sounds, N samples, T frames, F frequency bins, M bands.

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.fft import rfft

from mome.speech.audio import SAMPLING_RATE

__all__ = ["HOP", "NUM_BANDS", "WINDOW", "band_powers", "contrast", "in_bands", "spectra"]

WINDOW = 640  # samples, 40 ms: bins of 25 Hz keep the harmonics of a voice apart
HOP = 320  # samples, 20 ms

_LINEAR_BANDS = 40  # a bin each, 0 to 1 kHz: where two voices at once show as two combs
_LOG_BANDS = 26  # 1 to 8 kHz
NUM_BANDS = _LINEAR_BANDS + _LOG_BANDS

_FAINTEST = 1e-5  # of the mean: 50 dB below it nothing is heard beside the rest
_UNIT = 3.0  # nepers: brings the contrast to about unit scale

Array = npt.NDArray[np.float32]
Spectra = npt.NDArray[np.complex64]


def band_powers(samples_BN: Array) -> Array:
    """Return the power ``(B, T, M)`` of every 40 ms frame in every band; no band overlaps or leaves a gap.

    Args:
        samples_BN: At 16 kHz, at least `WINDOW` samples each.
    """
    return in_bands(spectra(samples_BN))


def spectra(samples_BN: Array) -> Spectra:
    """Return the spectrum ``(B, T, F)`` of every frame; that of a sum is the sum of the spectra."""
    frames_BTN = np.lib.stride_tricks.sliding_window_view(samples_BN, WINDOW, axis=1)[:, ::HOP]
    return rfft(frames_BTN * _tables().window)


def in_bands(spectra_BTF: Spectra) -> Array:
    """Return the power ``(B, T, M)`` of spectra in every band."""
    # Real and imaginary parts lie side by side: one pass over both squares them.
    squares_BTF2 = np.square(spectra_BTF.view(np.float32))
    powers_BTM = np.empty((*spectra_BTF.shape[:-1], NUM_BANDS), np.float32)
    linear_BTF2 = squares_BTF2[..., : 2 * _LINEAR_BANDS]
    np.add(linear_BTF2[..., ::2], linear_BTF2[..., 1::2], out=powers_BTM[..., :_LINEAR_BANDS])
    np.matmul(
        squares_BTF2[..., 2 * _LINEAR_BANDS :], _tables().both_parts, out=powers_BTM[..., _LINEAR_BANDS:]
    )
    return powers_BTM


def contrast(powers_BTM: Array) -> Array:
    """Return how each band and frame stands out of the mean of the whole sound, ``(B, T, M)``, in 3 nepers.

    The level of the recording and the width of the bands play no part in it.
    """
    density_BTM = powers_BTM * _tables().per_bin
    mean_B11 = density_BTM.mean(axis=(1, 2), keepdims=True)
    density_BTM /= np.maximum(mean_B11, np.float32(1e-30))
    density_BTM += np.float32(_FAINTEST)
    np.log(density_BTM, out=density_BTM)
    density_BTM *= np.float32(1 / _UNIT)
    return density_BTM


class _Tables(NamedTuple):
    """What never changes.

    Args:
        window: Of a frame, ``(N,)``.
        both_parts: Share of each bin beyond the linear bands in each logarithmic one, ``(2F, M)``; every row
            is there twice, for the real and the imaginary part.
        per_bin: One over the bins of each band, ``(M,)``.
    """

    window: Array
    both_parts: Array
    per_bin: Array


@cache
def _tables() -> _Tables:
    num_bins = WINDOW // 2 + 1
    centres = np.geomspace(_LINEAR_BANDS, num_bins - 1, _LOG_BANDS)
    bins = np.arange(_LINEAR_BANDS, num_bins)
    # Every bin is shared by the two bands whose centres it lies between: its shares sum to 1.
    bands_FM = np.stack([np.interp(bins, centres, each) for each in np.eye(_LOG_BANDS)], axis=1)
    widths_M = np.concatenate([np.ones(_LINEAR_BANDS), bands_FM.sum(axis=0)])
    return _Tables(
        np.hanning(WINDOW).astype(np.float32),
        np.repeat(bands_FM, 2, axis=0).astype(np.float32),
        (1 / widths_M).astype(np.float32),
    )


assert SAMPLING_RATE == 16_000  # the widths above are in samples of it
