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
    finite = np.nan_to_num(samples.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    power = float(np.square(finite, dtype=np.float64).mean()) if len(finite) else 0.0
    level_db = max(_SILENCE_DB, 10.0 * math.log10(power)) if power > 0.0 else _SILENCE_DB
    framed = finite[: len(finite) // _FRAME * _FRAME].reshape(-1, _FRAME)
    speech = _speech_frames(framed)
    share = float(speech.mean()) if len(speech) else 0.0
    if speech.sum() < _MIN_SPEECH_FRAMES or len(finite) < WINDOW:
        return NoiseEstimate(None, False, None, 0.0, share, level_db)
    # A constant offset of the recording is neither speech nor noise.
    centred = (finite - finite.mean()) / np.float32(math.sqrt(power))
    heard = listen(band_powers(centred[None])[0])
    most = int(np.argmax(heard.kinds))
    return NoiseEstimate(
        snr_db=min(_MAX_SNR_DB, max(_MIN_SNR_DB, heard.snr_db)),
        confident=heard.error_db <= _TRUSTED_ERROR_DB,
        kind=NETWORK_KINDS[most],
        kind_confidence=heard.kinds[most],
        speech_share=share,
        level_db=level_db,
    )


def _speech_frames(framed: Samples) -> npt.NDArray[np.bool_]:
    """Return for every frame ``(F, 160)`` whether it stands out of the quietest tenth of the recording."""
    audible = framed.std(axis=1) > _LSB if len(framed) else np.zeros(0, dtype=np.bool_)
    if audible.sum() < _MIN_SPEECH_FRAMES:
        return np.zeros(len(framed), dtype=np.bool_)
    power = framed.var(axis=1, dtype=np.float64)
    smooth = np.convolve(power, np.ones(_SMOOTHING) / _SMOOTHING, mode="same")
    smooth_db = 10.0 * np.log10(np.maximum(smooth, _LSB**2))
    floor_db = float(np.quantile(smooth_db[audible], _FLOOR_QUANTILE))
    threshold = max(floor_db + _ABOVE_FLOOR_DB, float(smooth_db.max()) - _BELOW_PEAK_DB)
    return np.asarray(audible & (smooth_db > threshold))
