"""Voice activity: how likely somebody speaks in each 32 ms of sound, by Silero VAD.

The network's weights come with the package ``silero-vad``. Its own ways to run them load torch or ONNX
Runtime, and take a step at a time; decoding processes have neither, and an hour of sound has 112,500 steps.
"""

# Shape letters: F frames, T windows of a frame, C channels, K taps.

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

__all__ = ["FRAME", "FRAME_S", "VoiceActivity"]

FRAME = 512  # samples at 16 kHz
FRAME_S = FRAME / 16_000
_CONTEXT = 64  # samples of the frame before
_WINDOW, _STEP = 256, 128
_BINS = _WINDOW // 2 + 1
_BLOCK = 512  # frames at a time: memory stays small
_STRIDES = (1, 2, 2, 1)  # of the four convolutions: the four windows of a frame become one

Array = npt.NDArray[np.float32]


class VoiceActivity:
    """Follow one recording or one stream, from its beginning to its end."""

    def __init__(self) -> None:
        self._weights = _weights()
        self._left: Array = np.zeros(0, np.float32)  # less than a frame
        self._context: Array = np.zeros(_CONTEXT, np.float32)
        self._state: tuple[Array, Array] = (np.zeros(128, np.float32), np.zeros(128, np.float32))

    def hear(self, samples: Array) -> Array:
        """Return the probability of speech ``(F,)`` of each frame that is complete now.

        Args:
            samples: Any number ``(N,)`` at 16 kHz; they follow those of the call before.
        """
        samples = np.concatenate((self._left, samples.astype(np.float32, copy=False)))
        whole = len(samples) // FRAME
        self._left = samples[whole * FRAME :].copy()
        frames = samples[: whole * FRAME].reshape(whole, FRAME)
        blocks = [self._block(frames[start : start + _BLOCK]) for start in range(0, whole, _BLOCK)]
        return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)

    def end(self) -> Array:
        """Return the probability of the last frame, filled up with silence; none where nothing is left."""
        if not len(self._left):
            return np.zeros(0, np.float32)
        return self.hear(np.zeros(FRAME - len(self._left), np.float32))

    def _block(self, frames: Array) -> Array:
        contexts = np.vstack((self._context, frames[:-1, -_CONTEXT:]))
        self._context = frames[-1, -_CONTEXT:].copy()
        padded = np.pad(np.hstack((contexts, frames)), ((0, 0), (0, _CONTEXT)), mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW, axis=1)[:, ::_STEP]
        parts = windows @ self._weights["stft_conv.weight"][:, 0].T
        hidden_FTC = np.hypot(parts[..., :_BINS], parts[..., _BINS:])
        for layer, stride in enumerate(_STRIDES, 1):
            hidden_FTC = self._convolved(hidden_FTC, f"conv{layer}", stride)
        return self._remembered(hidden_FTC[:, 0])

    def _convolved(self, inputs_FTC: Array, name: str, stride: int) -> Array:
        weight = self._weights[f"{name}.weight"]  # (out, in, K)
        padded = np.pad(inputs_FTC, ((0, 0), (1, 1), (0, 0)))
        taps_FTCK = np.lib.stride_tricks.sliding_window_view(padded, weight.shape[2], axis=1)[:, ::stride]
        flat = taps_FTCK.reshape(*taps_FTCK.shape[:2], -1)
        return np.maximum(flat @ weight.reshape(len(weight), -1).T + self._weights[f"{name}.bias"], 0.0)

    def _remembered(self, inputs_FC: Array) -> Array:
        """Pass frames through the LSTM, one after the other."""
        weights = self._weights
        bias = weights["lstm_cell.bias_ih"] + weights["lstm_cell.bias_hh"]
        gates_F = inputs_FC @ weights["lstm_cell.weight_ih"].T + bias
        recurrent = weights["lstm_cell.weight_hh"]
        hidden, cell = self._state
        states = np.empty((len(inputs_FC), 128), np.float32)
        for index, given in enumerate(gates_F):
            gates = given + recurrent @ hidden
            # tanh(x / 2) is a logistic function from -1 to 1: one call for all that the gates need.
            gates[:256] *= 0.5
            gates[384:] *= 0.5
            np.tanh(gates, out=gates)
            into, forget, new, out = np.split(gates, 4)
            cell = 0.5 * ((1.0 + forget) * cell + (1.0 + into) * new)
            hidden = 0.5 * (1.0 + out) * np.tanh(cell)
            states[index] = hidden
        self._state = hidden, cell
        scores = np.maximum(states, 0.0) @ weights["final_conv.weight"][0, :, 0] + weights["final_conv.bias"]
        return np.asarray(1.0 / (1.0 + np.exp(-scores)), np.float32)


@cache
def _weights() -> dict[str, Array]:
    # The package itself is never imported: that would load torch.
    spec = find_spec("silero_vad")
    assert spec is not None  # a dependency
    assert spec.submodule_search_locations is not None
    (folder,) = spec.submodule_search_locations
    return load_file(Path(folder) / "data/silero_vad_16k.safetensors")
