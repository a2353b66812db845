"""Sound as power per frame and frequency band: what the noise estimator sees."""

# Shape letters: B sounds, N samples, T frames, F frequency bins, M bands.

from __future__ import annotations

from functools import cache

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
    return rfft(frames_BTN * _tables()[0])


def in_bands(spectra_BTF: Spectra) -> Array:
    """Return the power ``(B, T, M)`` of spectra in every band."""
    powers_BTF = spectra_BTF.real**2 + spectra_BTF.imag**2
    return np.asarray(powers_BTF @ _tables()[1], dtype=np.float32)


def contrast(powers_BTM: Array) -> Array:
    """Return how each band and frame stands out of the mean of the whole sound, ``(B, T, M)``, in 3 nepers.

    The level of the recording and the width of the bands play no part in it.
    """
    density_BTM = powers_BTM / _tables()[1].sum(axis=0)
    mean_B11 = density_BTM.mean(axis=(1, 2), keepdims=True)
    return np.log(density_BTM / np.maximum(mean_B11, np.float32(1e-30)) + np.float32(_FAINTEST)) / np.float32(
        _UNIT
    )


@cache
def _tables() -> tuple[Array, Array]:
    """Return the window ``(N,)`` and the share of each bin in each band ``(F, M)``, 1 over all bands."""
    num_bins = WINDOW // 2 + 1
    centres = np.concatenate(
        [
            np.arange(_LINEAR_BANDS, dtype=np.float64),
            np.geomspace(_LINEAR_BANDS, num_bins - 1, _LOG_BANDS),
        ]
    )
    bins = np.arange(num_bins)
    bands_FM = np.stack(
        [np.interp(bins, centres, np.eye(NUM_BANDS)[band]) for band in range(NUM_BANDS)], axis=1
    )
    return np.hanning(WINDOW).astype(np.float32), bands_FM.astype(np.float32)


assert SAMPLING_RATE == 16_000  # the widths above are in samples of it
