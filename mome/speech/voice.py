"""Voice: how long somebody is heard, by the vibration of the vocal folds that no household noise has.

Tones, hum, engines and music vibrate as well, longer and clearer than any voice. A network for voice activity
tells them from it where there is a pitch; where noise covers a voice, it is the pitch that still tells of it.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import butter, resample_poly, sosfilt

from mome.speech.activity import FRAME_S, VoiceActivity
from mome.speech.noise_estimate import NoiseEstimate

__all__ = ["Voice", "hear_voice", "is_silent", "no_speech_probability", "voiced_s"]

_RATE = 4_000  # Hz: the pitch and its first harmonics are below 1,200 Hz, and a quarter is fast
_FROM_RATE = 16_000
_BAND_HZ = (60, 1_200)
_WINDOW = _RATE * 40 // 1000  # samples, three periods of a deep voice
_HOP_S = 0.01
_HOP = round(_RATE * _HOP_S)
_PERIODS = (_RATE // 400, _RATE // 70)  # samples, of the highest and of the lowest pitch
_PERIODIC = 0.75  # correlation with the signal one period later
_AUDIBLE = 1e-4**2  # mean square, -80 dB full scale: quieter is less than three steps of 16 bits
_BLOCK = 4096  # windows at a time: memory stays small

# Measured on 2-s pieces of a running tap, dishes and an exercise bike (at most 0.02 s) and on recordings of
# FSDD, GRID, LibriSpeech and LJ Speech (at least 0.03 s: loud, at -40 dB, and in white noise at 10 dB).
_LIMIT_S = 0.025
_SLOPE_S = 0.0025

# Measured on speech of those corpora, clean and in noise down to -5 dB (less of what has a pitch sounds like
# it only where music covers it), and on tones (at most 0.02). A little speech in much hum is told by moments.
_SPOKEN_SHARE = 0.1
_CLEAR, _CLEAR_S = 0.5, 0.15
_LEVEL = 0.05  # to which what is quieter is raised: the network was taught at usual levels

_MIN_JUDGED_S = 1.0
_DROWNED_DB = -10.0  # of 2,880 real clips at -5 dB four read lower and have no voice (docs/api.md)

Samples = npt.NDArray[np.float32]


class Voice(NamedTuple):
    """What is heard of a voice.

    Args:
        seconds: In which there is a pitch.
        is_spoken: False where that is certainly none of a voice.
    """

    seconds: float
    is_spoken: bool

    @property
    def heard_s(self) -> float:
        """Seconds in which a voice is heard."""
        return self.seconds if self.is_spoken else 0.0


def hear_voice(samples: Samples) -> Voice:
    """Measure the voice in ``(N,)`` at 16 kHz; less than a second is too short to tell it from a tone."""
    seconds = voiced_s(samples)
    is_judged = seconds >= _LIMIT_S and len(samples) >= _MIN_JUDGED_S * _FROM_RATE
    return Voice(seconds, not is_judged or _is_spoken(samples, seconds))


def voiced_s(samples: Samples) -> float:
    """Return for how many seconds of ``(N,)`` at 16 kHz there is a pitch of 70 to 400 Hz, however quiet.

    A window is voiced where the signal resembles itself one period later (normalised autocorrelation).
    Whispers have no pitch, and count as no voice.
    """
    finite = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    signal = sosfilt(_band(), resample_poly(finite.astype(np.float64), 1, _FROM_RATE // _RATE))
    shortest, longest = _PERIODS
    if len(signal) < _WINDOW + longest:
        return 0.0
    windows = np.lib.stride_tricks.sliding_window_view(signal, _WINDOW + longest)[::_HOP]
    blocks = (windows[start : start + _BLOCK] for start in range(0, len(windows), _BLOCK))
    return sum(int(_is_voiced(block, shortest).sum()) for block in blocks) * _HOP_S


def no_speech_probability(heard_s: float) -> float:
    """Return how likely it is that nobody speaks in a recording with so much voice; 0.5 is the limit."""
    return 1.0 / (1.0 + math.exp(min(50.0, (heard_s - _LIMIT_S) / _SLOPE_S)))


def is_silent(duration_s: float, voice: Voice, noise: NoiseEstimate) -> bool:
    """Tell whether nobody speaks.

    What has a pitch is no voice, or none is heard and no noise could have drowned one: in -5 dB of dishes a
    third of real sentences have no pitch that can be found, but what is measured there says that something
    is said. In a word of less than a second little is enough to drown it.
    """
    if not voice.is_spoken:
        return True
    if no_speech_probability(voice.heard_s) <= 0.5:
        return False
    if noise.snr_db is not None and noise.snr_db > _DROWNED_DB:
        return False
    return duration_s >= _MIN_JUDGED_S or noise.speech_share == 0.0


def _is_spoken(samples: Samples, pitched_s: float) -> bool:
    """Tell whether a tenth of what has a pitch sounds like speech, or a moment clearly does."""
    finite = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    level = math.sqrt(float(np.square(finite, dtype=np.float64).mean()))
    if level < _LEVEL:
        finite = finite * np.float32(_LEVEL / max(level, 1e-9))
    activity, spoken_s, clear_s = VoiceActivity(), 0.0, 0.0
    for start in range(0, len(finite), _FROM_RATE):
        how_likely = activity.hear(finite[start : start + _FROM_RATE])
        spoken_s += float(how_likely.sum()) * FRAME_S
        clear_s += int((how_likely > _CLEAR).sum()) * FRAME_S
        # Within a second or two, mostly: the rest need not be heard.
        if spoken_s >= _SPOKEN_SHARE * pitched_s or clear_s >= _CLEAR_S:
            return True
    return False


@cache
def _band() -> npt.NDArray[np.float64]:
    # To design it takes as long as to find the voice in two seconds of sound.
    return np.asarray(butter(4, _BAND_HZ, "bandpass", fs=_RATE, output="sos"))


def _is_voiced(windows: npt.NDArray[np.float64], shortest: int) -> npt.NDArray[np.bool_]:
    """Tell for each window and what follows it ``(F, window + longest)`` whether it is periodic."""
    now = windows[:, :_WINDOW]
    size = next_fast_len(windows.shape[1] + _WINDOW, real=True)
    products = irfft(np.conj(rfft(now, size)) * rfft(windows, size), size)
    energy = np.cumsum(np.pad(np.square(windows), ((0, 0), (1, 0))), axis=1)
    later = energy[:, _WINDOW:] - energy[:, :-_WINDOW]
    first = later[:, :1]
    lags = slice(shortest, windows.shape[1] - _WINDOW + 1)
    similar = products[:, lags] / np.sqrt(np.maximum(first * later[:, lags], 1e-30))
    return np.asarray((similar.max(axis=1) > _PERIODIC) & (first[:, 0] > _AUDIBLE * _WINDOW))
