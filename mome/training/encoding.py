"""Clips to features and, where an encoder has LoRA, gradients of the features back to it."""

# Shape letters: T frames, C encoder width.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mome.config import Augmentation, TrainParams
from mome.model.avsr import Features
from mome.model.precision import mixed_precision
from mome.model.recogniser import Recogniser
from mome.training.augmentation import augment
from mome.training.clips import TrainingClips

__all__ = ["cut", "encode_augmented", "encode_plain", "join"]


def encode_augmented(
    recogniser: Recogniser,
    clips: TrainingClips,
    indices: Sequence[int],
    rngs: Sequence[np.random.Generator],
    params: TrainParams,
) -> list[Features]:
    """Encode clips as one step hears and sees them.

    Args:
        recogniser: Whose encoders to use.
        clips: Of the training split.
        indices: Of the clips.
        rngs: One for each of them, which draws everything that is changed about it.
        params: Which noise and augmentation, and in what precision.
    """
    with mixed_precision(params.device, params.precision):
        encoded = _encode(recogniser, clips, indices, rngs, params, params.augmentation)
    features = [Features(_float(each.audio_TC), _float(each.video_TC)) for each in encoded]
    if params.augmentation == "llama-avsr":
        return features
    return [augment(each, rng) for each, rng in zip(features, rngs, strict=True)]


def encode_plain(
    recogniser: Recogniser, clips: TrainingClips, indices: Sequence[int], params: TrainParams
) -> list[Features]:
    """Encode clips as validation does: whole, in noise that is the same every time."""
    rngs = [np.random.default_rng([params.seed, index]) for index in indices]
    return _encode(recogniser, clips, indices, rngs, params, None)


def cut(features: Sequence[Features]) -> list[Features]:
    """Return the features as leaves, at which gradients of all that reads them gather."""

    def leaf(features_TC: Tensor | None) -> Tensor | None:
        return None if features_TC is None else features_TC.detach().requires_grad_(features_TC.requires_grad)

    return [Features(leaf(each.audio_TC), leaf(each.video_TC)) for each in features]


def join(features: Sequence[Features], leaves: Sequence[Features]) -> None:
    """Let the gradients that gathered at the leaves flow on into the encoders that made the features."""
    outputs, gradients = [], []
    for above, below in zip(features, leaves, strict=True):
        for output, leaf in ((above.audio_TC, below.audio_TC), (above.video_TC, below.video_TC)):
            # None: frozen, or not read by any task.
            if output is not None and leaf is not None and leaf.grad is not None:
                outputs.append(output)
                gradients.append(leaf.grad)
    if outputs:
        torch.autograd.backward(outputs, gradients)


def _encode(
    recogniser: Recogniser,
    clips: TrainingClips,
    indices: Sequence[int],
    rngs: Sequence[np.random.Generator],
    params: TrainParams,
    augmentation: Augmentation | None,
) -> list[Features]:
    encoders = recogniser.encoders
    side = encoders.video.picture_side
    waveforms, mouths = [], []
    for index, rng in zip(indices, rngs, strict=True):
        if clips.waveforms:
            waveforms.append(clips.hear(index, params.noise_snrs_db, rng, augmentation))
        frames = clips.watch(index, side, rng, augmentation)
        if frames is not None:
            mouths.append(frames)
    sound, lips = iter(encoders.hear(waveforms)), iter(encoders.see(mouths))
    return [
        Features(next(sound, None), next(lips) if mouths else _on(clips.see(index), encoders.device))
        for index in indices
    ]


def _float(features_TC: Tensor | None) -> Tensor | None:
    return None if features_TC is None else features_TC.float()


def _on(features_TC: Tensor | None, device: torch.device) -> Tensor | None:
    return None if features_TC is None else features_TC.to(device)
