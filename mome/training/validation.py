"""Validation during training: loss and word error rate on held-out clips, never on the test split."""

from __future__ import annotations

from typing import NamedTuple

import torch

from mome.config import TrainParams
from mome.modalities import distinct_scales, readings
from mome.model.avsr import Task
from mome.model.recogniser import Recogniser
from mome.training.clips import TrainingClips
from mome.training.encoding import encode_plain
from mome.training.processes import ALONE, Processes
from mome.training.step import read_as, text_tokens
from mome.wer import word_errors

__all__ = ["Validation", "validate"]

_SPARE_TOKENS = 8  # a hypothesis may be longer than any transcript, but not without end


class Validation(NamedTuple):
    """Loss per text token over all that is trained, and word error rate of the richest modality of it."""

    loss: float
    wer: float


@torch.inference_mode()
def validate(
    recogniser: Recogniser,
    clips: TrainingClips,
    params: TrainParams,
    batch_size: int,
    processes: Processes = ALONE,
) -> Validation:
    """Read the validation split in fixed noise, and write it down at every scale of the model.

    Each process reads a part of the clips, and all return what one would find.

    Args:
        recogniser: As trained so far.
        clips: The validation split.
        params: Noise levels and tasks are those of training.
        batch_size: Utterances per pass.
        processes: That share the clips.
    """
    model = recogniser.model.eval()
    richest = readings(model.modalities, clips.modality)[0]
    scales = [alike[0] for alike in distinct_scales(model.scales, richest)]
    texts = [model.tokens.encode(transcript) for transcript in clips.transcripts]
    longest = max(map(len, texts)) + _SPARE_TOKENS
    mine = processes.part(clips.num_frames.tolist())
    batches = [mine[start : start + batch_size] for start in range(0, len(mine), batch_size)]
    # Who shares an LLM reads it as often as the others do: once more what counts nothing.
    idle = processes.most(len(batches)) - len(batches) if processes.share(params.sharding) else 0
    loss, tokens, errors, words = 0.0, 0, 0, 0
    for number, indices in enumerate(batches + (batches or [[0]])[-1:] * idle):
        features = encode_plain(recogniser, clips, indices, params)
        transcripts = [clips.transcripts[index] for index in indices]
        read = read_as(model, transcripts, features, model.scales, params)
        language = model(read).language.item()
        tasks = [Task(each.only(richest), scale) for scale in scales for each in features]
        references = transcripts * len(scales)
        hypotheses = model.transcribe(tasks, longest)
        if number >= len(batches):
            continue
        loss, tokens = loss + language * text_tokens(read), tokens + text_tokens(read)
        for reference, hypothesis in zip(references, hypotheses, strict=True):
            wrong, said = word_errors(reference, hypothesis)
            errors, words = errors + wrong, words + said
    model.train()
    counted = torch.tensor([loss, tokens, errors, words], dtype=torch.float64, device=params.device)
    loss, tokens, errors, words = processes.sum(counted).tolist()
    return Validation(loss / tokens, errors / words)
