"""How noisy a recording is, and with what: one answer for data, baseline, service and monitor.

The measure is the ratio of total powers, pauses included, as `mome.speech.noise.mix_at_snr` mixes it.
A second talker as loud as the first is no noise that one microphone could tell from speech.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mome.records import NoiseKind
from mome.speech.noise_bands import WINDOW, band_powers
from mome.speech.noise_network import NETWORK_KINDS, listen

__all__ = ["NoiseEstimate", "estimate_noise"]

Samples = npt.NDArray[np.float32]

_MIN_SNR_DB, _MAX_SNR_DB = -15.0, 40.0  # what it was taught, and a little more
_TRUSTED_ERROR_DB = 4.0

_LSB = 1.0 / 32768  # one step of 16-bit audio: what is quieter holds no information
_SILENCE_DB = -100.0  # level of digital silence
_LOUDEST = 1e12  # what is louder is broken, and its square soon no number

_FRAME = 160  # samples, 10 ms at 16 kHz
_SMOOTHING = 5  # frames, 50 ms: shorter than a syllable, long enough that steady noise is steady
_FLOOR_QUANTILE = 0.1
_ABOVE_FLOOR_DB = 2.0  # noise alone, so smoothed, stays within half a decibel of its own floor
_BELOW_PEAK_DB = 35.0  # quieter than that beside the loudest syllable is the room, not speech
_MIN_SPEECH_FRAMES = 5


@dataclass(frozen=True)
class NoiseEstimate:
    """How noisy a recording is, and with what.

    Args:
        snr_db: Signal-to-noise ratio in dB, -15 to 40; None without speech to measure it on.
        confident: The expected error of ``snr_db`` is at most 4 dB.
        kind: What the noise is; None without ``snr_db``.
        kind_confidence: Probability of ``kind``, 0 to 1.
        speech_share: Share of the 10 ms frames that stand out of the background, 0 to 1.
        level_db: Root mean square of the whole recording in dB full scale, at least -100.
    """

    snr_db: float | None
    confident: bool
    kind: NoiseKind | None
    kind_confidence: float
    speech_share: float
    level_db: float


def estimate_noise(samples: Samples) -> NoiseEstimate:
    """Estimate level and kind of the noise behind speech ``(N,)`` at 16 kHz, without a clean copy of it.

    Samples that are NaN or infinite count as silence. The level of the recording plays no part.
    """
    # A constant offset of the recording is neither speech nor noise, but it is level.
    centred, offset = _centred(samples)
    power = float(np.einsum("n,n->", centred, centred)) / max(1, len(centred))
    total = power + offset**2
    level_db = max(_SILENCE_DB, 10.0 * math.log10(total)) if total > 0.0 else _SILENCE_DB
    speech = _speech_frames(_frame_variances(centred))
    share = float(speech.mean()) if len(speech) else 0.0
    if speech.sum() < _MIN_SPEECH_FRAMES or len(centred) < WINDOW:
        return NoiseEstimate(None, False, None, 0.0, share, level_db)
    heard = listen(band_powers(centred[None])[0] / np.float32(power))
    most = int(np.argmax(heard.kinds))
    return NoiseEstimate(
        snr_db=min(_MAX_SNR_DB, max(_MIN_SNR_DB, heard.snr_db)),
        confident=heard.error_db <= _TRUSTED_ERROR_DB,
        kind=NETWORK_KINDS[most],
        kind_confidence=heard.kinds[most],
        speech_share=share,
        level_db=level_db,
    )


def _centred(samples: Samples) -> tuple[Samples, float]:
    """Return the waveform around its mean, and this mean."""
    heard = samples.astype(np.float32, copy=False)
    if not len(heard):
        return heard, 0.0
    if not max(heard.max(), -heard.min()) < _LOUDEST:  # as it is not, either, where one is NaN
        heard = np.clip(np.nan_to_num(heard, nan=0.0, posinf=0.0, neginf=0.0), -_LOUDEST, _LOUDEST)
    offset = float(heard.mean())
    return heard - np.float32(offset), offset


def _frame_variances(samples: Samples) -> Samples:
    framed = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME)
    # Products, which are faster than sums along so short an axis.
    squares = np.einsum("fn,fn->f", framed, framed)
    return squares / _FRAME - (framed @ np.full(_FRAME, 1 / _FRAME, np.float32)) ** 2


def _speech_frames(power: Samples) -> npt.NDArray[np.bool_]:
    """Return for frames of variance ``(F,)`` which stand out of the quietest tenth of the recording."""
    audible = power > _LSB**2
    if audible.sum() < _MIN_SPEECH_FRAMES:
        return np.zeros(len(power), dtype=np.bool_)
    smooth = np.convolve(power, np.ones(_SMOOTHING) / _SMOOTHING, mode="same")
    smooth_db = 10.0 * np.log10(np.maximum(smooth, _LSB**2))
    rising_db = np.sort(smooth_db[audible])
    # As `np.quantile`, which takes longer for so few than all else here.
    floor_db = float(np.interp(_FLOOR_QUANTILE * (len(rising_db) - 1), np.arange(len(rising_db)), rising_db))
    threshold = max(floor_db + _ABOVE_FLOOR_DB, float(smooth_db.max()) - _BELOW_PEAK_DB)
    return np.asarray(audible & (smooth_db > threshold))
