"""Validation during training: loss and word error rate on held-out clips, never on the test split."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from mome.config import TrainParams
from mome.modalities import distinct_scales, readings
from mome.model.avsr import Task
from mome.model.recogniser import Recogniser
from mome.training.clips import TrainingClips
from mome.training.encoding import encode_plain
from mome.training.step import read_as
from mome.wer import word_errors

__all__ = ["Validation", "validate"]

_SPARE_TOKENS = 8  # a hypothesis may be longer than any transcript, but not without end


class Validation(NamedTuple):
    """Loss per text token over all that is trained, and word error rate of the richest modality of it."""

    loss: float
    wer: float


@torch.inference_mode()
def validate(
    recogniser: Recogniser, clips: TrainingClips, params: TrainParams, batch_size: int
) -> Validation:
    """Read the validation split in fixed noise, and write it down at every scale of the model.

    Args:
        recogniser: As trained so far.
        clips: The validation split.
        params: Noise levels and tasks are those of training.
        batch_size: Utterances per pass.
    """
    model = recogniser.model.eval()
    richest = readings(model.modalities, clips.modality)[0]
    scales = [alike[0] for alike in distinct_scales(model.scales, richest)]
    texts = [model.tokens.encode(transcript) for transcript in clips.transcripts]
    longest = max(map(len, texts)) + _SPARE_TOKENS
    losses, errors, words = [], 0, 0
    for start in range(0, len(clips), batch_size):
        indices = range(start, min(start + batch_size, len(clips)))
        features = encode_plain(recogniser, clips, indices, params)
        losses.append(model(read_as(model, clips, indices, features, model.scales, params)).language.item())
        tasks = [Task(each.only(richest), scale) for scale in scales for each in features]
        references = [clips.transcripts[index] for index in indices] * len(scales)
        for reference, hypothesis in zip(references, model.transcribe(tasks, longest), strict=True):
            wrong, said = word_errors(reference, hypothesis)
            errors, words = errors + wrong, words + said
    model.train()
    return Validation(float(np.mean(losses)), errors / words)
