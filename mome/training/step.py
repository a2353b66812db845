"""One training step: what its utterances are read as, and the gradients of all of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch

from mome.config import TrainParams
from mome.methods import Method
from mome.modalities import distinct_scales, readings
from mome.model.avsr import AVSRModel, Features, Losses, Task
from mome.model.precision import mixed_precision
from mome.model.recogniser import Recogniser
from mome.records import Modality
from mome.scales import Scale
from mome.training.ahead import Step
from mome.training.clips import TrainingClips
from mome.training.encoding import cut, encode_augmented, join
from mome.training.processes import ALONE, Processes

__all__ = [
    "backward",
    "backward_tasks",
    "passes_of",
    "read_as",
    "scales_of_step",
    "tasks_of",
    "text_tokens",
]

_PASSES = 2  # of the LLM in one step, at least


def tasks_of(
    features: Features, scales: Sequence[Scale], text: Sequence[int], weights: Mapping[Modality, float]
) -> list[Task]:
    """Return everything that one utterance is read as: each scale, and each rate of each modality alone.

    One set of weights serves audio, video and both; without the single modalities it would learn to
    lean on whichever is easier.

    Args:
        features: Of the utterance; what it lacks gives no task.
        scales: To read it at.
        text: Its tokens.
        weights: Factor on the loss of each modality; one that is not named is not trained.
    """
    return [
        Task(features.only(modality), alike[0], text, weights[modality])
        for modality in readings(weights, features.modality)
        for alike in distinct_scales(scales, modality)
    ]


def scales_of_step(method: Method, scales: Sequence[Scale], rng: np.random.Generator) -> Sequence[Scale]:
    """Return what a step trains: all scales, or one drawn rate per modality (Omni-AVSR, model facts 3)."""
    if not method.sampled:
        return scales
    audio_rates = sorted({scale.audio_rate for scale in scales})
    video_rates = sorted({scale.video_rate for scale in scales})
    drawn = Scale(int(rng.choice(audio_rates)), int(rng.choice(video_rates)))
    return [drawn]


def backward(
    recogniser: Recogniser,
    clips: TrainingClips,
    read: Step,
    params: TrainParams,
    step: int,
    processes: Processes,
) -> Losses:
    """Add the gradients of every task of the utterances; returns the losses, averaged over text tokens.

    Each clip is encoded once for all its tasks: the gradient stops at its features, gathers there, and
    then flows on into the encoders. With several processes each takes a part of the utterances, and
    gradients and losses are summed to what one process would find.

    Args:
        recogniser: To train.
        clips: Of the training split.
        read: What this process reads of the step's utterances.
        params: Section ``train``.
        step: Its number.
        processes: That share the step.
    """
    model = recogniser.model
    scales = scales_of_step(model.method, model.scales, np.random.default_rng([params.seed, step, 0]))
    features = encode_augmented(recogniser, clips, read.mine, read.prepared, params)
    leaves = cut(features)
    transcripts = [each.transcript for each in read.prepared]
    tasks = read_as(model, transcripts, leaves, scales, params, [each.read_as for each in read.prepared])
    total = processes.sum(torch.tensor(text_tokens(tasks), device=params.device))
    losses = backward_tasks(model, tasks, params, int(total), processes)
    join(features, leaves)
    processes.sum_gradients(list(recogniser.trained_parameters().values()))
    summed = processes.sum(torch.stack(losses)).cpu()
    return Losses(*summed)


def read_as(
    model: AVSRModel,
    transcripts: Sequence[str],
    features: Sequence[Features],
    scales: Sequence[Scale],
    params: TrainParams,
    only: Sequence[Collection[Modality] | None] | None = None,
) -> list[Task]:
    """Return the tasks of some utterances, given what is said in each: what `tasks_of` makes of it.

    Args:
        model: That reads them.
        transcripts: What is said.
        features: Of each.
        scales: To read them at.
        params: Weights of the tasks.
        only: As what each is read; None, of one or of all, is as everything.
    """
    texts = [model.tokens.encode(transcript) for transcript in transcripts]
    return [
        task
        for each, text, these in zip(features, texts, only or [None] * len(texts), strict=True)
        for task in tasks_of(each, scales, text, _weights(params, these))
    ]


def _weights(params: TrainParams, only: Collection[Modality] | None) -> Mapping[Modality, float]:
    weights = params.task_weights
    return weights if only is None else {each: weight for each, weight in weights.items() if each in only}


def backward_tasks(
    model: AVSRModel,
    tasks: Sequence[Task],
    params: TrainParams,
    total_tokens: int | None = None,
    processes: Processes = ALONE,
) -> Losses:
    """Add the gradients of all tasks; returns the losses, averaged over text tokens.

    Args:
        model: What reads them.
        tasks: With texts.
        params: Weights of the losses, the precision, and how much is read at once.
        total_tokens: Of texts, to average over, where these tasks are only a part; by default theirs.
        processes: That share the LLM, if they do.
    """
    total = total_tokens or text_tokens(tasks)
    # On the device: to read a loss is to wait for it, and the next pass could begin meanwhile.
    sums = Losses(*(torch.zeros((), device=params.device) for _ in Losses._fields))
    passes = passes_of(model, tasks, params.pass_tokens)
    # Who shares an LLM reads it as often as the others do; what is read once too often counts nothing.
    idle = processes.most(len(passes)) - len(passes) if processes.share(params.sharding) else 0
    for index, part in enumerate(passes + passes[-1:] * idle):
        share = text_tokens(part) / total if index < len(passes) else 0.0
        with mixed_precision(params.device, params.precision):
            losses = model(part)
        loss = (
            losses.language + params.load_balancing_weight * losses.balance + params.z_loss_weight * losses.z
        )
        (share * loss).backward()
        sums = Losses(*(a + share * b.detach() for a, b in zip(sums, losses, strict=True)))
    return sums


def text_tokens(tasks: Sequence[Task]) -> int:
    """Return how many tokens the texts of some tasks have, ends included."""
    return sum(len(task.text or ()) + 1 for task in tasks)


def passes_of(model: AVSRModel, tasks: Sequence[Task], pass_tokens: int) -> list[list[Task]]:
    """Return what to read at once: rows with equal adapters, of similar length.

    A row at a fine scale is several times as long as one at a coarse scale. Sorted by length and read
    in a few passes, they cost about half of what one padded batch costs, for the same gradients.

    Args:
        model: What reads them.
        tasks: With texts.
        pass_tokens: What a layer keeps of a pass for the gradient grows with its tokens, padding included:
            so many at most, but one row at least.
    """
    prompts = {modality: len(model.tokens.prompt(modality)) for modality in model.modalities}
    groups = model.rows(tasks)
    pieces = max(1, _PASSES // len(groups))
    passes: list[list[Task]] = []
    for rows in groups:
        measured = [(_length(row, prompts), row) for row in ([tasks[i] for i in row] for row in rows)]
        measured.sort(key=lambda pair: pair[0])
        most = -(-len(measured) // pieces)  # rows of a pass
        together: list[list[Task]] = []
        for length, row in measured:
            # The longest so far, to which all others are padded, is the one that comes.
            if len(together) == most or (together and (len(together) + 1) * length > pass_tokens):
                passes.append([task for each in together for task in each])
                together = []
            together.append(row)
        passes.append([task for each in together for task in each])
    return passes


def _length(row: Sequence[Task], prompts: Mapping[Modality, int]) -> int:
    """Return the tokens of a row, whose tasks have their sound in common; without delimiters."""
    sound, rate = row[0].features.audio_TC, row[0].scale.audio_rate
    shared = 0 if sound is None else len(sound) // rate
    own = sum(task.num_tokens - shared + prompts[task.features.modality] for task in row)
    return shared + own
