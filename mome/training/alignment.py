"""Teach the aligner on what training has read, once the weights stand; it changes none of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mome.alignment import Aligner
from mome.alignment.head import Floats
from mome.alignment.teaching import solve_heads
from mome.config import TrainParams
from mome.model.recogniser import Recogniser
from mome.training.clips import TrainingClips
from mome.training.encoding import encode_plain
from mome.training.spoken import Spoken

__all__ = ["teach_aligner"]


def teach_aligner(
    recogniser: Recogniser, clips: TrainingClips, spoken: Spoken, params: TrainParams
) -> Aligner:
    """Return an aligner for what the recogniser's encoders hear and see, taught in the noise of training.

    Args:
        recogniser: With its last weights.
        clips: Of the training split.
        spoken: When their characters are said.
        params: Noise levels are those of training.
    """

    @torch.inference_mode()
    def encode(part: Sequence[int]) -> list[tuple[Floats | None, Floats | None]]:
        features = encode_plain(recogniser, clips, [spoken.indices[number] for number in part], params)
        return [(_array(each.audio_TC), _array(each.video_TC)) for each in features]

    return solve_heads(spoken.characters, spoken.classes, encode)


def _array(features_TC: Tensor | None) -> Floats | None:
    return None if features_TC is None else features_TC.float().numpy(force=True)
