"""Voice activity: how likely somebody speaks in each 32 ms of sound, by Silero VAD.

The network's weights come with the package ``silero-vad``. Its own ways to run them load torch or ONNX
Runtime, and take a step at a time; decoding processes have neither, and an hour of sound has 112,500 steps.
"""

# Shape letters: F frames, T windows of a frame, C channels of a window, O channels behind it, G gates.

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.fft
from safetensors.numpy import load_file

__all__ = ["FRAME", "FRAME_S", "VoiceActivity"]

FRAME = 512  # samples at 16 kHz
FRAME_S = FRAME / 16_000
_CONTEXT = 64  # samples of the frame before
_WINDOW, _STEP = 256, 128
_TAPS = 3
_STATES = 128
_BLOCK = 512  # frames at a time: memory stays small
_STRIDES = (1, 2, 2, 1)  # of the four convolutions: the four windows of a frame become one

Array = npt.NDArray[np.float32]


class VoiceActivity:
    """Follow one recording or one stream, from its beginning to its end."""

    def __init__(self) -> None:
        self._network = _network()
        self._left: Array = np.zeros(0, np.float32)  # less than a frame
        self._context: Array = np.zeros(_CONTEXT, np.float32)
        self._state: tuple[Array, Array] = (np.zeros(_STATES, np.float32), np.zeros(_STATES, np.float32))

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
        hidden_FTC = np.abs(scipy.fft.rfft(windows * self._network.window, axis=-1))
        for convolution, stride in zip(self._network.convolutions, _STRIDES, strict=True):
            hidden_FTC = convolution.of(hidden_FTC, stride)
        return self._remembered(hidden_FTC[:, 0])

    def _remembered(self, inputs_FC: Array) -> Array:
        """Pass frames through the LSTM, one after the other."""
        network = self._network
        gates_FG = inputs_FC @ network.inputs + network.bias
        states = np.empty((len(inputs_FC), _STATES), np.float32)
        hidden, cell = self._state
        # Ten calls a frame are what this takes, hardly the sums: nothing is allocated, and halves are in the
        # weights. A logistic function is (1 + tanh(x / 2)) / 2, so that all gates are one call.
        gates_G = np.empty_like(network.bias)
        into, forget, new, out = gates_G.reshape(4, _STATES)
        into_and_forget = gates_G[: 2 * _STATES]
        for index, given in enumerate(gates_FG):
            np.dot(network.recurrent, hidden, out=gates_G)
            gates_G += given
            np.tanh(gates_G, out=gates_G)
            into_and_forget += 1.0
            out += 1.0
            cell = forget * cell
            into *= new
            cell += into
            cell *= 0.5
            hidden = states[index]
            np.tanh(cell, out=hidden)
            hidden *= out
            hidden *= 0.5
        self._state = hidden.copy(), cell  # not a view of all states
        scores = np.maximum(states, 0.0) @ network.score_weight + network.score_bias
        return np.asarray(1.0 / (1.0 + np.exp(-scores)), np.float32)


class _Convolution(NamedTuple):
    """Three taps over the windows of a frame, and what is negative cut off."""

    weight: Array  # (I, O), the channels of the first tap, then those of the next
    bias: Array

    def of(self, inputs_FTC: Array, stride: int) -> Array:
        num_frames, num_windows, num_channels = inputs_FTC.shape
        padded = np.zeros((num_frames, num_windows + 2, num_channels), np.float32)
        padded[:, 1:-1] = inputs_FTC
        # Neighbouring windows lie beside each other: the taps of an output are one stretch of memory.
        width = _TAPS * num_channels
        stretches = np.lib.stride_tricks.sliding_window_view(padded.reshape(num_frames, -1), width, axis=1)
        # Copied for one large product; of a view, numpy makes one small product for each frame.
        taps_XI = stretches[:, :: stride * num_channels].reshape(-1, width)
        outputs_XO = taps_XI @ self.weight
        outputs_XO += self.bias
        np.maximum(outputs_XO, 0.0, out=outputs_XO)
        return outputs_XO.reshape(num_frames, -1, len(self.bias))


class _Network(NamedTuple):
    """Silero's weights as they are multiplied here."""

    window: Array
    convolutions: tuple[_Convolution, ...]
    inputs: Array  # (C, G)
    recurrent: Array  # (G, C)
    bias: Array
    score_weight: Array
    score_bias: Array

    @classmethod
    def of(cls, weights: Mapping[str, Array]) -> _Network:
        """Take them by Silero's names."""
        convolutions = []
        for layer in range(1, len(_STRIDES) + 1):
            weight_OCK = weights[f"conv{layer}.weight"]
            weight_IO = np.ascontiguousarray(weight_OCK.transpose(2, 1, 0).reshape(-1, len(weight_OCK)))
            convolutions.append(_Convolution(weight_IO, weights[f"conv{layer}.bias"]))
        halves_G = np.repeat(np.array([0.5, 0.5, 1.0, 0.5], np.float32), _STATES)
        return cls(
            # Its first convolution is a Fourier transform of windows; in the bin of 0 Hz stands the window.
            window=weights["stft_conv.weight"][0, 0],
            convolutions=tuple(convolutions),
            inputs=np.ascontiguousarray((weights["lstm_cell.weight_ih"] * halves_G[:, None]).T),
            recurrent=weights["lstm_cell.weight_hh"] * halves_G[:, None],
            bias=(weights["lstm_cell.bias_ih"] + weights["lstm_cell.bias_hh"]) * halves_G,
            score_weight=weights["final_conv.weight"][0, :, 0],
            score_bias=weights["final_conv.bias"],
        )


@cache
def _network() -> _Network:
    # The package itself is never imported: that would load torch.
    spec = find_spec("silero_vad")
    assert spec is not None  # a dependency
    assert spec.submodule_search_locations is not None
    (folder,) = spec.submodule_search_locations
    return _Network.of(load_file(Path(folder) / "data/silero_vad_16k.safetensors"))
