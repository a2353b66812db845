"""The small network of the noise estimator, in numpy: shares of speech, level of the noise, its kind.

Its weights are made by ``python -m mome.noise_estimator``, whose torch twin a test holds it to.
"""

# Shape letters: T frames, M bands, C channels, K taps, H hidden.

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from mome.records import NoiseKind
from mome.speech.noise_bands import contrast

__all__ = ["DILATIONS", "MAX_RAW_SNR_DB", "NETWORK_KINDS", "WEIGHTS", "Heard", "listen"]

Array = npt.NDArray[np.float32]

WEIGHTS = Path(__file__).with_name("noise_network.safetensors")
DILATIONS = (1, 2, 4, 8, 16)  # of the layers, five taps each: the last sees 2.5 s
NETWORK_KINDS: tuple[NoiseKind, ...] = ("babble", "steady", "bursts", "none")  # its last four outputs
MAX_RAW_SNR_DB = 45.0


class Heard(NamedTuple):
    """What the network says of one sound.

    Args:
        snr_db: Signal-to-noise ratio.
        error_db: Standard deviation that it expects of that.
        kinds: Probability of each of `NETWORK_KINDS`.
    """

    snr_db: float
    error_db: float
    kinds: tuple[float, ...]


def listen(powers_TM: Array) -> Heard:
    """Return what the network hears in powers as `mome.speech.noise_bands.band_powers` gives them.

    Every frame and band is split into speech and noise; the ratio of the two sums, corrected by what the
    whole sound is like, is the level.
    """
    weights = _weights()
    seen_TM = contrast(powers_TM[None])[0]
    hidden_TC = _rectified(_convolved(seen_TM, weights, 0))
    for layer in range(1, len(DILATIONS)):
        hidden_TC += _rectified(_convolved(hidden_TC, weights, layer))
    speech_TM = _sigmoid(hidden_TC @ weights["mask.weight"] + weights["mask.bias"])
    speech = float(np.vdot(speech_TM, powers_TM))
    noise = float(np.vdot(np.float32(1.0) - speech_TM, powers_TM))
    raw_db = 10.0 * math.log10((speech + 1e-30) / (noise + 1e-30))
    raw_db = min(MAX_RAW_SNR_DB, max(-MAX_RAW_SNR_DB, raw_db))
    summary = np.concatenate(
        [
            hidden_TC.mean(axis=0),
            np.sqrt(hidden_TC.var(axis=0) + np.float32(1e-4)),
            seen_TM.min(axis=0).mean(keepdims=True),
            seen_TM.std(axis=0).mean(keepdims=True),
            np.array([raw_db / 20.0], np.float32),
        ]
    )
    inner_H = np.maximum(summary @ weights["inner.weight"] + weights["inner.bias"], 0.0)
    correction, log_variance, *logits = (inner_H @ weights["outer.weight"] + weights["outer.bias"]).tolist()
    odds = np.exp(np.array(logits) - max(logits))
    error_db = math.exp(0.5 * min(6.0, max(-2.0, log_variance)))
    return Heard(raw_db + 10.0 * correction, error_db, tuple((odds / odds.sum()).tolist()))


def _convolved(frames_TC: Array, weights: dict[str, Array], layer: int) -> Array:
    """Return the layer's dilated convolution over time, with zeros beyond both ends."""
    kernel_KCC, step = weights[f"layers.{layer}.weight"], DILATIONS[layer]
    taps, (num_frames, num_channels) = len(kernel_KCC), frames_TC.shape
    # What the taps of a frame see, side by side: one product for all of them.
    seen_TKC = np.zeros((num_frames, taps, num_channels), np.float32)
    for tap in range(taps):
        shift = (tap - taps // 2) * step
        first, end = max(0, -shift), num_frames - max(0, shift)
        if first < end:
            seen_TKC[first:end, tap] = frames_TC[first + shift : end + shift]
    summed = seen_TKC.reshape(num_frames, -1) @ kernel_KCC.reshape(-1, kernel_KCC.shape[2])
    summed += weights[f"layers.{layer}.bias"]
    return summed


def _rectified(values: Array) -> Array:
    return np.maximum(values, np.float32(0.0), out=values)


def _sigmoid(values: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * values))


@cache
def _weights() -> dict[str, Array]:
    return load_file(WEIGHTS)
