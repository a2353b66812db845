"""The network of synchrony as torch trains it; `mome.speech.synchrony_network` is the same in numpy."""

# Shape letters: B clips, T frames, F flows, M bands, C channels, D numbers of a vector, L lags.

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mome.speech.lip_flow import NUM_FLOWS
from mome.speech.synchrony_network import MOST_LAG, NUM_SOUNDS

__all__ = ["SynchronyNetwork", "evidence", "profiles"]

_CHANNELS, _TAPS, _NUMBERS = 48, 5, 24
_DROPPED = 0.2


class Part(nn.Module):
    """Three convolutions over time: each vector sees 13 frames, half a second."""

    def __init__(self, num_inputs: int) -> None:
        super().__init__()
        self.first = _convolution(num_inputs, _CHANNELS)
        self.second = _convolution(_CHANNELS, _CHANNELS)
        self.last = _convolution(_CHANNELS, _NUMBERS)
        # Whole inputs: what one place says, another talker may not.
        self.blinkers = nn.Dropout1d(_DROPPED)
        self.dropout = nn.Dropout(_DROPPED)

    def forward(self, frames_BTC: Tensor) -> Tensor:
        """Return vectors ``(B, T, D)``."""
        hidden = F.relu(self.first(self.blinkers(frames_BTC.transpose(1, 2))))
        hidden = hidden + F.relu(self.second(self.dropout(hidden)))
        return self.last(hidden).transpose(1, 2)


class SynchronyNetwork(nn.Module):
    """Vectors of lips and of sound, and how much their correlation says."""

    def __init__(self) -> None:
        super().__init__()
        self.lips = Part(NUM_FLOWS)
        self.sound = Part(NUM_SOUNDS)
        self.evidence = nn.Linear(1, 1)

    def forward(self, flow_BTF: Tensor, sounds_BTM: Tensor) -> Tensor:
        """Return the profile of every mouth with every sound ``(B, B, L)``."""
        return profiles(self.lips(flow_BTF), self.sound(sounds_BTM))


def profiles(lips_BTD: Tensor, sound_BTD: Tensor) -> Tensor:
    """Return the correlation of mouth i with sound j, some frames later, ``(B, B, L)``."""
    lips, sound = _unit(lips_BTD), _unit(sound_BTD)
    num_frames = lips.shape[1]
    lags = []
    for lag in range(-MOST_LAG, MOST_LAG + 1):
        first, second = max(0, -lag), max(0, lag)
        overlap = num_frames - abs(lag)
        lags.append(
            lips[:, first : first + overlap].flatten(1) @ sound[:, second : second + overlap].flatten(1).T
        )
    return torch.stack(lags, dim=-1)


def evidence(profile_L: Tensor, num_frames: int) -> Tensor:
    """Return how far profiles ``(..., L)`` stand out, in what mere chance does in them."""
    # `median` of torch is the lower of two in the middle: with an odd number there is one.
    return (profile_L.amax(-1) - profile_L.median(-1).values) * num_frames**0.5


def _convolution(num_inputs: int, num_outputs: int) -> nn.Conv1d:
    # Ends are held, not silent: what never moves has one vector everywhere.
    return nn.Conv1d(num_inputs, num_outputs, _TAPS, padding=_TAPS // 2, padding_mode="replicate")


def _unit(vectors_BTD: Tensor) -> Tensor:
    centred = vectors_BTD - vectors_BTD.mean(1, keepdim=True)
    return centred / (centred.square().sum((1, 2), keepdim=True) + 1e-9).sqrt()
