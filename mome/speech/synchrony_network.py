"""The small network that hears whether sound is of a mouth, in numpy: lips and sound as vectors over time.

Where they belong together they go up and down together. Its weights are made by
``python -m mome.synchrony``, whose torch twin a test holds it to. They were taught on GRID (Cooke, Barker,
Cunningham, Shao 2006, CC BY 4.0) and on the platform's own drawn faces.
"""

# Shape letters: T frames of the video, F flows of the lips, M bands of the sound, C channels, K taps,
# D numbers of a vector, L lags.

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from mome.speech.noise_bands import HOP, WINDOW, band_powers
from mome.speech.noise_bands import NUM_BANDS as _NARROW

__all__ = [
    "MOST_LAG",
    "NUM_BANDS",
    "NUM_SOUNDS",
    "SILENCE",
    "WEIGHTS",
    "confidence",
    "lip_vectors",
    "profile",
    "sound_vectors",
    "sounds",
]

Array = npt.NDArray[np.float32]

WEIGHTS = Path(__file__).with_name("synchrony_network.safetensors")
MOST_LAG = 15  # frames, 0.6 s either way: further apart, sound and picture are not of one recording
_HOPS = 2  # of the bands, in a frame of the video
_LINEAR, _WIDE_LINEAR, _WIDE_LOG = 40, 4, 2  # neighbouring bands are one: a melody is not seen
NUM_BANDS = _LINEAR // _WIDE_LINEAR + (_NARROW - _LINEAR) // _WIDE_LOG
NUM_SOUNDS = _HOPS * NUM_BANDS
_FAINTEST = 1e-5  # of the mean: 50 dB below it nothing is heard beside the rest
_RAISED = 6.0  # nepers: speech lies around zero
_UNIT = 3.0  # nepers
SILENCE = (float(np.log(_FAINTEST)) + _RAISED) / _UNIT  # what `sounds` gives where there is nothing
_STILL = 1e-6  # of a vector: it does not move


def sounds(samples: Array, num_frames: int) -> Array:
    """Return the logarithm of the power of each frame ``(T, M)``, two hops of 23 bands, beside the mean.

    Args:
        samples: ``(N,)`` at 16 kHz, from the first frame on; what is missing at the end is silent.
        num_frames: Of the video, at 25 fps.
    """
    before = HOP // 2  # so that a frame stands in the middle of its sound
    needed = num_frames * _HOPS * HOP + WINDOW - HOP
    padded = np.pad(samples, (before, max(0, needed - before - len(samples))))[:needed]
    powers = band_powers(padded[None])[0]
    wide = np.concatenate(
        [
            powers[:, :_LINEAR].reshape(len(powers), -1, _WIDE_LINEAR).mean(axis=2),
            powers[:, _LINEAR:].reshape(len(powers), -1, _WIDE_LOG).mean(axis=2),
        ],
        axis=1,
    )
    mean = np.float32(max(float(powers.mean(dtype=np.float64)), 1e-30))
    nepers = np.log(wide / mean + np.float32(_FAINTEST)) + np.float32(_RAISED)
    return (nepers / np.float32(_UNIT)).reshape(num_frames, -1)


def lip_vectors(flow_TF: Array) -> Array:
    """Return a vector for each frame ``(T, D)`` of the flow that `mome.speech.lip_flow` gives."""
    return _vectors(flow_TF, "lips")


def sound_vectors(sounds_TM: Array) -> Array:
    """Return a vector for each frame ``(T, D)`` of what `sounds` gives."""
    return _vectors(sounds_TM, "sound")


def profile(lips_TD: Array, sound_TD: Array) -> Array | None:
    """Return the correlation of lips with the sound some frames later ``(L,)``, for ``-MOST_LAG..MOST_LAG``.

    None where one of them never changes.
    """
    lips, sound = lips_TD - lips_TD.mean(axis=0), sound_TD - sound_TD.mean(axis=0)
    norms = float(np.linalg.norm(lips)), float(np.linalg.norm(sound))
    if min(norms) < _STILL * lips.size:
        return None
    num_frames = len(lips)
    products = (lips / norms[0]) @ (sound / norms[1]).T
    return np.array(
        [products.trace(lag) if abs(lag) < num_frames else 0.0 for lag in range(-MOST_LAG, MOST_LAG + 1)],
        np.float32,
    )


def confidence(profile_L: Array, num_frames: int) -> float:
    """Return how probable it is that the sound is of this mouth, where as many are as are not, 0 to 1."""
    weights = _weights()
    evidence = float(profile_L.max() - np.median(profile_L)) * num_frames**0.5
    logit = evidence * weights["evidence.weight"].item() + weights["evidence.bias"].item()
    return float(1.0 / (1.0 + np.exp(-np.clip(logit, -50.0, 50.0))))


def _vectors(frames_TC: Array, part: str) -> Array:
    weights = _weights()
    hidden = np.maximum(_convolved(frames_TC, weights, f"{part}.first"), 0.0)
    hidden = hidden + np.maximum(_convolved(hidden, weights, f"{part}.second"), 0.0)
    return _convolved(hidden, weights, f"{part}.last")


def _convolved(frames_TC: Array, weights: dict[str, Array], layer: str) -> Array:
    """Return the layer's convolution over time; the first and the last frame stand beyond both ends."""
    kernel_KCC, bias_C = weights[f"{layer}.weight"], weights[f"{layer}.bias"]
    taps, num_frames = len(kernel_KCC), len(frames_TC)
    padded = np.pad(frames_TC, ((taps // 2, taps // 2), (0, 0)), mode="edge")
    summed = padded[:num_frames] @ kernel_KCC[0] + bias_C
    for tap in range(1, taps):
        summed += padded[tap : tap + num_frames] @ kernel_KCC[tap]
    return summed


@cache
def _weights() -> dict[str, Array]:
    return load_file(WEIGHTS)
