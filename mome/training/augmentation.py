"""Time masks and a little noise on features, drawn anew in every step, against learning clips by heart."""

# Shape letters: T frames, C encoder width.

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mome.model.avsr import Features
from mome.scales import AUDIO_FRAMES_PER_SECOND, VIDEO_FRAMES_PER_SECOND

__all__ = ["augment"]

_LONGEST_MASK_S = 0.2  # half of Llama-AVSR's: its sentences are longer
_NOISE = 0.15  # standard deviation; features have about unit scale


def augment(features: Features, rng: np.random.Generator) -> Features:
    """Return features of which up to 0.2 s of every second is masked, with noise on the rest.

    Source: the adaptive time mask of Llama-AVSR's training, applied behind the frozen encoders.
    """
    return Features(
        _mask(features.audio_TC, AUDIO_FRAMES_PER_SECOND, rng),
        _mask(features.video_TC, VIDEO_FRAMES_PER_SECOND, rng),
    )


def _mask(frames_TC: Tensor | None, frames_per_second: int, rng: np.random.Generator) -> Tensor | None:
    if frames_TC is None:
        return None
    noise_TC = rng.standard_normal(tuple(frames_TC.shape), dtype=np.float32)
    masked_TC = frames_TC + _NOISE * torch.from_numpy(noise_TC).to(frames_TC.device)
    for _ in range(len(frames_TC) // frames_per_second):
        length = int(rng.integers(round(_LONGEST_MASK_S * frames_per_second) + 1))
        start = int(rng.integers(len(frames_TC)))
        masked_TC[start : start + length] = 0
    return masked_TC
