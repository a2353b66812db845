"""Other rooms, microphones, paces and noises for a waveform, so that what is new is no surprise.

Each function takes and gives a waveform ``(N,)`` at 16 kHz; `spoil` applies a random choice of them,
for synthetic voices, which are cleaner and more alike than people and microphones are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import fftconvolve

from mome.speech.audio import SAMPLING_RATE
from mome.speech.noise import babble, mix_at_snr

__all__ = ["change_speed", "colour", "echo", "spoil"]

Samples = NDArray[np.float32]


def change_speed(samples: Samples, factor: float) -> Samples:
    """Play faster or slower: pitch, formants and pace change together; ``round(N / factor)`` samples."""
    positions = np.linspace(0, len(samples) - 1, max(1, round(len(samples) / factor)))
    return np.interp(positions, np.arange(len(samples)), samples).astype(np.float32)


def spoil(samples: Samples, others: Sequence[Samples], rng: np.random.Generator) -> Samples:
    """Colour, echo, narrow and drown a waveform at random.

    Args:
        samples: Clean speech.
        others: Waveforms of other sentences, for the babble.
        rng: Draws everything.
    """
    if rng.random() < 0.25:
        samples = echo(samples, rng)
    if rng.random() < 0.6:
        samples = colour(samples, rng)
    kind = rng.random()
    snr_db = rng.uniform(0, 25)
    if kind < 0.4:
        samples = mix_at_snr(samples, babble(others, len(samples), rng), snr_db)
    elif kind < 0.55:
        samples = mix_at_snr(samples, _stationary_noise(len(samples), rng), snr_db)
    return samples


def echo(samples: Samples, rng: np.random.Generator) -> Samples:
    """A room: exponentially dying noise of 0.1 to 0.4 s after the direct sound."""
    length = int(rng.uniform(0.1, 0.4) * SAMPLING_RATE)
    tail = rng.normal(0, 1, length) * np.exp(-6.9 * np.arange(length) / length)  # -60 dB at its end
    tail *= rng.uniform(0.05, 0.5) / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    return fftconvolve(samples, tail)[: len(samples)].astype(np.float32)


def colour(samples: Samples, rng: np.random.Generator) -> Samples:
    """Another microphone: random gains in a few bands, and sometimes a telephone's band limit."""
    length = _fast(len(samples))
    spectrum = rfft(samples, n=length)
    frequency = np.arange(len(spectrum)) * SAMPLING_RATE / length
    corners = np.array([0, 250, 500, 1000, 2000, 4000, 8000])
    gain_db = np.interp(frequency, corners, rng.normal(0, 4, len(corners)))
    if rng.random() < 0.4:
        gain_db[frequency > rng.uniform(3300, 4000)] -= 60
    return irfft(spectrum * 10 ** (gain_db / 20), n=length)[: len(samples)].astype(np.float32)


def _stationary_noise(num_samples: int, rng: np.random.Generator) -> Samples:
    """Noise with a random spectral tilt between white and brown."""
    length = _fast(num_samples)
    spectrum = rfft(rng.normal(0, 1, length))
    tilt = np.maximum(np.arange(len(spectrum)), 20.0) ** -rng.uniform(0, 1)
    return irfft(spectrum * tilt, n=length)[:num_samples].astype(np.float32)


def _fast(num_samples: int) -> int:
    """Return the next length that is quick to transform: a large prime factor takes six times as long."""
    return int(next_fast_len(num_samples, real=True))
