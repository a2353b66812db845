"""Clips to features and, where an encoder has LoRA, gradients of the features back to it."""

# Shape letters: T frames, C encoder width.

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from mome.config import TrainParams
from mome.model.avsr import Features
from mome.model.precision import mixed_precision
from mome.model.recogniser import Recogniser
from mome.scales import VIDEO_FRAMES_PER_SECOND
from mome.speech.audio import SAMPLING_RATE
from mome.training.ahead import SOUND_ALONE, Prepared, prepare
from mome.training.augmentation import augment
from mome.training.clips import TrainingClips

__all__ = ["cut", "encode_augmented", "encode_plain", "join"]

# Video frames in one pass of an encoder, padding included: a minute, what the papers give one GPU. More is no
# faster, and AV-HuBERT's first convolution alone makes half a megabyte of each.
_FRAMES_AT_ONCE = 1500


def encode_augmented(
    recogniser: Recogniser,
    clips: TrainingClips,
    indices: Sequence[int],
    prepared: Sequence[Prepared],
    params: TrainParams,
) -> list[Features]:
    """Encode clips as one step hears and sees them.

    Args:
        recogniser: Whose encoders to use.
        clips: Of the training split.
        indices: Of the clips.
        prepared: Each of them.
        params: Which augmentation, and in what precision.
    """
    with mixed_precision(params.device, params.precision):
        encoded = _encode(recogniser, clips, indices, prepared)
    features = [Features(_float(each.audio_TC), _float(each.video_TC)) for each in encoded]
    if params.augmentation == "llama-avsr":
        return features
    return [augment(each, ready.rng) for each, ready in zip(features, prepared, strict=True)]


def encode_plain(
    recogniser: Recogniser, clips: TrainingClips, indices: Sequence[int], params: TrainParams
) -> list[Features]:
    """Encode clips as validation does: whole, in noise that is the same every time."""
    side = recogniser.encoders.video.picture_side
    rngs = [np.random.default_rng([params.seed, index]) for index in indices]
    prepared = [
        prepare(clips, index, side, params, rng, None) for index, rng in zip(indices, rngs, strict=True)
    ]
    return _encode(recogniser, clips, indices, prepared)


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
    recogniser: Recogniser, clips: TrainingClips, indices: Sequence[int], prepared: Sequence[Prepared]
) -> list[Features]:
    encoders = recogniser.encoders
    waveforms = [each.samples_N for each in prepared if each.samples_N is not None]
    mouths = [each.frames_THW for each in prepared if each.frames_THW is not None]
    sound = iter(_in_parts(encoders.hear, waveforms, SAMPLING_RATE // VIDEO_FRAMES_PER_SECOND))
    lips = iter(_in_parts(encoders.see, mouths, 1))
    return [
        Features(
            None if each.samples_N is None else next(sound),
            _lips(clips, index, each, encoders.device) if each.frames_THW is None else next(lips),
        )
        for index, each in zip(indices, prepared, strict=True)
    ]


def _lips(clips: TrainingClips, index: int, prepared: Prepared, device: torch.device) -> Tensor | None:
    """Return lips that were encoded before; none are of a voice that is heard alone."""
    if prepared.read_as == SOUND_ALONE:
        return None
    return _on(clips.see(index, prepared.pieces), device)


def _in_parts(
    encode: Callable[[Sequence[np.ndarray]], list[Tensor]], inputs: Sequence[np.ndarray], per_frame: int
) -> list[Tensor]:
    """Encode some clips at a time; a clip has the same features in any company.

    Args:
        encode: To features.
        inputs: Per clip, along the first axis as many things as ``per_frame`` times its video frames.
        per_frame: See there.
    """
    features: list[Tensor] = []
    part: list[np.ndarray] = []
    for each in inputs:
        longest = max(map(len, [*part, each]))
        if part and (len(part) + 1) * longest > _FRAMES_AT_ONCE * per_frame:
            features += encode(part)
            part = []
        part.append(each)
    return features + encode(part)


def _float(features_TC: Tensor | None) -> Tensor | None:
    return None if features_TC is None else features_TC.float()


def _on(features_TC: Tensor | None, device: torch.device) -> Tensor | None:
    return None if features_TC is None else features_TC.to(device)
