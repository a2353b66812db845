"""Noises that no recording stands behind: steady ones, bursts, and babble of synthetic voices.

What they have in common with those of the world is how they are made: a hiss through a room, a motor, drops,
things that strike and ring, talk. Every function returns ``(num_samples,)`` at 16 kHz of unit power.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft

from mome.speech.audio import SAMPLING_RATE

__all__ = ["BURSTY_DB", "burstiness_db", "bursts", "random_gains", "steady", "unit_power"]

Samples = NDArray[np.float32]
Array = NDArray[np.float64]

# Noise that is no babble is bursts if its mean power lies this far above its usual (median) one over 50 ms.
BURSTY_DB = 1.5
_BLOCK = 800  # samples, 50 ms

_PER_DECADE_DB = 20.0


def unit_power(samples: NDArray[np.floating]) -> Samples:
    """Return the sound at a mean square of one; silence stays silence."""
    power = float(np.square(samples, dtype=np.float64).mean())
    return (samples / max(np.sqrt(power), 1e-9)).astype(np.float32)


def random_gains(
    num_bins: int, rng: np.random.Generator, depth_db: float, tilt: tuple[float, float]
) -> NDArray[np.float64]:
    """Return a smooth random gain per bin of a spectrum up to 8 kHz.

    Args:
        num_bins: Of the spectrum.
        rng: Draws it.
        depth_db: Standard deviation at each of twelve points of a logarithmic frequency axis.
        tilt: Range of the fall per decade, in units of 20 dB: 0.5 is pink, 1 is brown.
    """
    frequency = np.linspace(0, SAMPLING_RATE / 2, num_bins)
    points = np.geomspace(60, SAMPLING_RATE / 2, 12)
    gain_db = np.interp(
        np.log(np.maximum(frequency, 30)), np.log(points), rng.normal(0, depth_db, len(points))
    )
    gain_db -= _PER_DECADE_DB * rng.uniform(*tilt) * np.log10(np.maximum(frequency, 60) / 60)
    return 10 ** (gain_db / 20)


def burstiness_db(noises: Samples) -> NDArray[np.floating]:
    """Return how far the mean power of each sound ``(B, N)`` lies above its median over 50 ms, ``(B,)``."""
    whole = noises.shape[1] // _BLOCK * _BLOCK
    power = np.square(noises[:, :whole].reshape(len(noises), -1, _BLOCK)).mean(axis=2)
    return 10 * np.log10(power.mean(axis=1) / np.maximum(np.median(power, axis=1), 1e-12))


def steady(num_samples: int, rng: np.random.Generator) -> Samples:
    """Return a hiss, a hum, a motor, running water: noise whose level hardly changes within seconds."""
    sound = _hiss(num_samples, rng)
    time_s = np.arange(num_samples) / SAMPLING_RATE
    if rng.random() < 0.3:
        swings = np.sin(2 * np.pi * np.exp(rng.uniform(np.log(0.3), np.log(25))) * time_s + rng.uniform(0, 6))
        sound = sound * 10 ** (rng.uniform(0.5, 3.0) * swings / 20)
    if rng.random() < 0.3:
        sound = sound * _wandering(
            num_samples, rng, every_s=rng.uniform(0.1, 0.8), depth_db=rng.uniform(0.5, 2.5)
        )
    if rng.random() < 0.25:
        sound = unit_power(sound) + rng.uniform(0.2, 1.0) * _motor(num_samples, rng)
    if rng.random() < 0.25:
        drops = _events(num_samples, rng, np.exp(rng.uniform(np.log(30), np.log(300))))
        sound = unit_power(sound) + rng.uniform(0.2, 1.0) * unit_power(drops)
    return unit_power(sound)


def bursts(num_samples: int, rng: np.random.Generator) -> Samples:
    """Return strokes, knocks, rings or a noise that goes on and off, mostly over a faint steady one."""
    if rng.random() < 0.6:
        sound = _events(num_samples, rng, np.exp(rng.uniform(np.log(0.7), np.log(15))))
        quietest_db, loudest_db = -35.0, -6.0
    else:
        sound = unit_power(steady(num_samples, rng) * _gate(num_samples, rng))
        quietest_db, loudest_db = -40.0, -8.0
    if rng.random() < 0.6:
        behind = 10 ** (rng.uniform(quietest_db, loudest_db) / 20)
        sound = unit_power(sound) + np.float32(behind) * steady(num_samples, rng)
    return unit_power(sound)


def _hiss(num_samples: int, rng: np.random.Generator) -> Array:
    spectrum = rfft(rng.normal(size=num_samples))
    bins = np.arange(len(spectrum))
    kind = rng.random()
    if kind < 0.2:
        gains = np.ones(len(spectrum))
    elif kind < 0.45:
        lowest_hz = rng.choice([0.5, 20.0])
        gains = np.maximum(bins, lowest_hz * num_samples / SAMPLING_RATE) ** -rng.uniform(0.2, 1.0)
    else:
        gains = random_gains(len(spectrum), rng, rng.uniform(2, 10), (0.0, 1.2))
    if rng.random() < 0.2:
        highest_hz = rng.uniform(3000, 8000)
        beyond = bins * SAMPLING_RATE / num_samples > highest_hz
        gains = np.where(beyond, 1e-4 * gains.max(), gains)
    return irfft(spectrum * gains, n=num_samples)


def _wandering(num_samples: int, rng: np.random.Generator, every_s: float, depth_db: float) -> Array:
    points = np.arange(0, num_samples + every_s * SAMPLING_RATE, every_s * SAMPLING_RATE)
    gain_db = np.interp(np.arange(num_samples), points, rng.normal(0, depth_db, len(points)))
    return 10 ** (gain_db / 20)


def _motor(num_samples: int, rng: np.random.Generator) -> Samples:
    """Return a tone of 30 to 300 Hz with its harmonics, steady or wavering a little."""
    lowest_hz = rng.uniform(30, 300)
    turns = np.ones(num_samples)
    if rng.random() < 0.5:
        points = np.linspace(0, num_samples, num_samples // 1600 + 2)
        turns += 0.01 * np.interp(np.arange(num_samples), points, rng.normal(size=len(points)))
    phase = 2 * np.pi * lowest_hz * np.cumsum(turns) / SAMPLING_RATE
    fall = rng.uniform(0.5, 2)
    sound = np.zeros(num_samples)
    for harmonic in range(1, min(40, int(7500 / lowest_hz))):
        amplitude = harmonic**-fall * rng.uniform(0.2, 1)
        sound += amplitude * np.sin(harmonic * phase + rng.uniform(0, 6))
    return unit_power(sound)


def _stroke(rng: np.random.Generator) -> Samples:
    """Return one event of 10 to 400 ms: something that rings, or a puff of noise."""
    length = int(np.exp(rng.uniform(np.log(0.01), np.log(0.4))) * SAMPLING_RATE)
    if rng.random() < 0.35:
        time_s = np.arange(length) / SAMPLING_RATE
        sound = np.zeros(length)
        for _ in range(rng.integers(1, 8)):
            frequency_hz = np.exp(rng.uniform(np.log(200), np.log(7000)))
            decay = np.exp(-rng.uniform(3, 9) * time_s * SAMPLING_RATE / length)
            sound += (
                rng.uniform(0.1, 1) * decay * np.sin(2 * np.pi * frequency_hz * time_s + rng.uniform(0, 6))
            )
        return unit_power(sound)
    spectrum = rfft(rng.normal(size=length))
    if rng.random() < 0.7:
        spectrum = spectrum * random_gains(len(spectrum), rng, rng.uniform(1, 8), (0.0, 1.0))
    sound = irfft(spectrum, n=length)
    if rng.random() < 0.6:
        sound = sound * np.exp(-np.arange(length) / length * rng.uniform(2, 8))
    return unit_power(sound)


def _events(num_samples: int, rng: np.random.Generator, per_second: float) -> Samples:
    """Return a few kinds of strokes at random moments, loud ones and soft ones."""
    sound = np.zeros(num_samples, np.float32)
    strokes: Sequence[Samples] = [_stroke(rng) for _ in range(rng.integers(1, 6))]
    spread_db = rng.uniform(0, 8)
    for _ in range(max(1, rng.poisson(per_second * num_samples / SAMPLING_RATE))):
        stroke = strokes[int(rng.integers(len(strokes)))]
        start = int(rng.integers(0, max(1, num_samples - len(stroke) // 2)))
        heard = stroke[: num_samples - start]
        sound[start : start + len(heard)] += heard * np.float32(10 ** (rng.normal(0, spread_db) / 20))
    return sound


def _gate(num_samples: int, rng: np.random.Generator) -> Array:
    """Return a gain that is on for 20 to 400 ms and off for one to eight times as long."""
    gains = np.zeros(num_samples)
    on_s = np.exp(rng.uniform(np.log(0.02), np.log(0.4)))
    off_s = on_s * rng.uniform(1, 8)
    start = int(rng.uniform(0, 0.5) * min(off_s * SAMPLING_RATE, num_samples))
    while start < num_samples:
        length = int(on_s * rng.uniform(0.5, 1.5) * SAMPLING_RATE) + 1
        gains[start : start + length] = 10 ** (rng.normal(0, 2) / 20)
        start += length + int(off_s * rng.uniform(0.5, 1.5) * SAMPLING_RATE)
    return gains
