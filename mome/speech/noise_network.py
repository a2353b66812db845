"""The small network of the noise estimator, in numpy: shares of speech, level of the noise, its kind.

Its weights are made by ``python -m mome.noise_estimator``, whose torch twin a test holds it to.
"""

# Shape letters: T frames, M bands, C channels, K taps, H hidden.

from __future__ import annotations

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
    hidden_TC = np.maximum(_convolved(seen_TM, weights, 0), 0.0)
    for layer in range(1, len(DILATIONS)):
        hidden_TC = hidden_TC + np.maximum(_convolved(hidden_TC, weights, layer), 0.0)
    speech_TM = _sigmoid(hidden_TC @ weights["mask.weight"] + weights["mask.bias"])
    speech = float((speech_TM * powers_TM).sum(dtype=np.float64))
    noise = float(((1.0 - speech_TM) * powers_TM).sum(dtype=np.float64))
    raw_db = 10.0 * np.log10((speech + 1e-30) / (noise + 1e-30))
    raw_db = float(np.clip(raw_db, -MAX_RAW_SNR_DB, MAX_RAW_SNR_DB))
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
    error_db = float(np.exp(0.5 * np.clip(log_variance, -2.0, 6.0)))
    return Heard(raw_db + 10.0 * correction, error_db, tuple((odds / odds.sum()).tolist()))


def _convolved(frames_TC: Array, weights: dict[str, Array], layer: int) -> Array:
    """Return the layer's dilated convolution over time, with zeros beyond both ends."""
    kernel_KCC, bias_C = weights[f"layers.{layer}.weight"], weights[f"layers.{layer}.bias"]
    taps, step, num_frames = len(kernel_KCC), DILATIONS[layer], len(frames_TC)
    reach = taps // 2 * step
    padded = np.zeros((num_frames + 2 * reach, frames_TC.shape[1]), np.float32)
    padded[reach : reach + num_frames] = frames_TC
    summed = padded[:num_frames] @ kernel_KCC[0] + bias_C
    for tap in range(1, taps):
        summed += padded[tap * step : tap * step + num_frames] @ kernel_KCC[tap]
    return summed


def _sigmoid(values: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * values))


@cache
def _weights() -> dict[str, Array]:
    return load_file(WEIGHTS)
