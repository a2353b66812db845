"""The training loop: which clips, which scales, which step, and how it is continued."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from mome.config import TrainParams
from mome.errors import CorpusError, TrainingError
from mome.methods import Method
from mome.model.avsr import AVSRModel, Features, Losses, Task
from mome.model.encoders import Encoders
from mome.model.precision import mixed_precision
from mome.model.recogniser import Recogniser
from mome.progress import progress
from mome.records import Modality, Split
from mome.scales import Scale
from mome.speech.shards import read_manifest, read_split
from mome.training.augmentation import augment
from mome.training.checkpoint import foundation_digest, new_recogniser, write_checkpoint
from mome.training.clips import TrainingClips, read_clips
from mome.training.report import write_report
from mome.training.state import History, load_state, save_state

__all__ = ["learning_rate", "run", "scales_of_step", "tasks_of"]

_BETAS = (0.9, 0.98)  # of Llama-AVSR
_WARM_UP = 0.1  # share of the steps
_PASSES = 2  # of the LLM in one step


def run(params: TrainParams, dataset: Path, foundation: Path, output: Path, work: Path) -> None:
    """Fine-tune MoME and the projectors, and LoRA on the audio encoder if ``audio_lora_rank`` asks for it.

    Killed at any moment and started again with the same inputs, it ends with the same weights as an
    uninterrupted run: the state is kept under ``work``, and what a step sees follows from its number.

    Args:
        params: Section ``train``.
        dataset: Folder written by ``data.prepare``.
        foundation: Folder with the frozen encoders and LLM.
        output: Checkpoint folder to write, with ``training.html`` beside the weights.
        work: Folder that outlives an interruption.

    Raises:
        CorpusError: If the training split is empty.
        TrainingError: If the loss is not finite.
    """
    torch.set_num_threads(params.threads)
    corpus = json.loads((dataset / "corpus.json").read_text())
    source = _source(dataset, foundation)
    state = work / f"train-{_key(source, params.model_dump_json())}" / "state.safetensors"
    recogniser = new_recogniser(foundation, params)
    # What the video encoder sees does not depend on how MoME is trained on it: a key of its own.
    lips = work / f"lips-{_key(source)}"
    train = _clips("train", dataset, recogniser.encoders, lips)
    validation = _clips("validation", dataset, recogniser.encoders, lips)
    history = _fit(recogniser, train, validation, params, state)
    write_checkpoint(output, recogniser, foundation, params, corpus, history)
    write_report(output / "training.html", history, params, corpus)


def learning_rate(step: int, params: TrainParams) -> float:
    """Return the rate of a step: a short linear warm-up, then half a cosine down to zero."""
    warm_up = max(1, round(params.steps * _WARM_UP))
    if step < warm_up:
        return params.learning_rate * (step + 1) / warm_up
    done = (step - warm_up) / max(1, params.steps - warm_up)
    return params.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


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
    by_rate: dict[Modality, Iterable[Scale]] = {
        "av": scales,
        "audio": {scale.audio_rate: scale for scale in scales}.values(),
        "video": {scale.video_rate: scale for scale in scales}.values(),
    }
    there = {"audio": features.audio_TC is not None, "video": features.video_TC is not None}
    there["av"] = all(there.values())
    return [
        Task(features.only(modality), scale, text, weights[modality])
        for modality, alike in by_rate.items()
        if there[modality] and modality in weights
        for scale in alike
    ]


def scales_of_step(method: Method, scales: Sequence[Scale], rng: np.random.Generator) -> Sequence[Scale]:
    """Return what a step trains: all scales, or one drawn rate per modality (Omni-AVSR, model facts 3)."""
    if not method.sampled:
        return scales
    audio_rates = sorted({scale.audio_rate for scale in scales})
    video_rates = sorted({scale.video_rate for scale in scales})
    drawn = Scale(int(rng.choice(audio_rates)), int(rng.choice(video_rates)))
    return [drawn]


def _fit(
    recogniser: Recogniser, train: TrainingClips, validation: TrainingClips, params: TrainParams, state: Path
) -> History:
    parameters, model = recogniser.trained_parameters(), recogniser.model
    optimizer = torch.optim.AdamW(
        parameters.values(),
        lr=params.learning_rate,
        betas=_BETAS,
        weight_decay=params.weight_decay,
        fused=True,
    )
    done, history = load_state(state, parameters, optimizer) if state.exists() else (0, [])
    utterances = _utterances_per_step(model, train, params)
    model.train()
    for step in progress(range(done, params.steps), "fine-tune MoME"):
        # What a step sees follows from its number alone, so that a continued run sees the same.
        rng = np.random.default_rng([params.seed, step])
        indices = rng.integers(len(train), size=utterances).tolist()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, params)
        optimizer.zero_grad(set_to_none=True)
        losses = _backward(recogniser, train, indices, params, rng)
        if not torch.isfinite(losses.language):
            raise TrainingError(
                f"the loss is {losses.language.item()} at step {step}; lower train.learning_rate"
            )
        torch.nn.utils.clip_grad_norm_(parameters.values(), params.max_grad_norm)
        optimizer.step()
        row = {"step": step + 1, "loss": losses.language.item(), "balance": losses.balance.item()}
        if (step + 1) % params.checkpoint_every == 0 or step + 1 == params.steps:
            row["validation_loss"] = _validation_loss(recogniser, validation, params, utterances)
            save_state(state, parameters, optimizer, [*history, row], step + 1)
        history.append(row)
    return history


def _utterances_per_step(model: AVSRModel, train: TrainingClips, params: TrainParams) -> int:
    """A batch counts sequences: a corpus without lips has fewer per utterance, and sees more utterances."""
    features = Features(torch.empty(0) if train.waveforms else None, train.see(0))
    scales = scales_of_step(model.method, model.scales, np.random.default_rng(0))
    tasks = tasks_of(features, scales, (), params.task_weights)
    if not tasks:
        raise TrainingError(
            f"the corpus has {features.modality} recordings, but train.task_weights trains only "
            f"{', '.join(params.task_weights)}"
        )
    return max(1, params.batch_size // len(tasks))


def _backward(
    recogniser: Recogniser,
    clips: TrainingClips,
    indices: Sequence[int],
    params: TrainParams,
    rng: np.random.Generator,
) -> Losses:
    """Add the gradients of every task of the utterances; returns the losses, averaged over text tokens.

    Each clip is encoded once for all its tasks: the gradient stops at its features, gathers there, and
    then flows on into the audio encoder.
    """
    heard = [clips.hear(i, params.noise_snrs_db, rng, vary=True) for i in indices if clips.waveforms]
    with mixed_precision(params.device, params.precision):
        sound = iter(recogniser.encoders.hear(heard))
    features = [
        augment(Features(next(sound).float() if clips.waveforms else None, clips.see(i)), rng)
        for i in indices
    ]
    cut = [_cut(each) for each in features]
    scales = scales_of_step(recogniser.model.method, recogniser.model.scales, rng)
    tasks = _tasks(recogniser.model, clips, indices, cut, scales, params)
    losses = _backward_tasks(recogniser.model, tasks, params)
    outputs, gradients = [], []
    for above, below in zip(features, cut, strict=True):
        if above.audio_TC is not None and below.audio_TC is not None and above.audio_TC.requires_grad:
            outputs.append(above.audio_TC)
            gradients.append(below.audio_TC.grad)
    if outputs:
        torch.autograd.backward(outputs, gradients)
    return losses


def _cut(features: Features) -> Features:
    sound = features.audio_TC
    leaf = None if sound is None else sound.detach().requires_grad_(sound.requires_grad)
    return Features(leaf, features.video_TC)


def _tasks(
    model: AVSRModel,
    clips: TrainingClips,
    indices: Sequence[int],
    features: Sequence[Features],
    scales: Sequence[Scale],
    params: TrainParams,
) -> list[Task]:
    texts = [model.tokens.encode(clips.transcripts[index]) for index in indices]
    return [
        task
        for each, text in zip(features, texts, strict=True)
        for task in tasks_of(each, scales, text, params.task_weights)
    ]


def _backward_tasks(model: AVSRModel, tasks: Sequence[Task], params: TrainParams) -> Losses:
    """Add the gradients of all tasks; returns the losses, averaged over text tokens."""
    total = sum(len(task.text or ()) + 1 for task in tasks)
    sums = Losses(*(torch.zeros(()) for _ in Losses._fields))
    for part in _passes(model, tasks):
        share = sum(len(task.text or ()) + 1 for task in part) / total
        with mixed_precision(params.device, params.precision):
            losses = model(part)
        loss = (
            losses.language + params.load_balancing_weight * losses.balance + params.z_loss_weight * losses.z
        )
        (share * loss).backward()
        sums = Losses(*(a + share * b.detach().cpu() for a, b in zip(sums, losses, strict=True)))
    return sums


def _passes(model: AVSRModel, tasks: Sequence[Task]) -> list[list[Task]]:
    """Return what to read at once: tasks with equal adapters, of similar length.

    The finest scale's sequences are three times as long as the coarsest's. Sorted by length and read
    in a few passes, they cost about half of what one padded batch costs, for the same gradients.
    """
    groups = model.groups(tasks)
    pieces = max(1, _PASSES // len(groups))
    passes = []
    for indices in groups:
        ordered = sorted((tasks[index] for index in indices), key=lambda task: task.num_tokens)
        size = -(-len(ordered) // pieces)
        passes += [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return passes


@torch.inference_mode()
def _validation_loss(
    recogniser: Recogniser, clips: TrainingClips, params: TrainParams, batch_size: int
) -> float:
    model = recogniser.model.eval()
    losses = []
    for start in range(0, len(clips), batch_size):
        indices = range(start, min(start + batch_size, len(clips)))
        heard = [
            clips.hear(i, params.noise_snrs_db, np.random.default_rng([params.seed, i]), vary=False)
            for i in indices
            if clips.waveforms
        ]
        sound = iter(recogniser.encoders.hear(heard))
        features = [Features(next(sound, None), clips.see(i)) for i in indices]
        tasks = _tasks(model, clips, indices, features, model.scales, params)
        losses.append(model(tasks).language.item())
    model.train()
    return float(np.mean(losses))


def _clips(split: Split, dataset: Path, encoders: Encoders, lips: Path) -> TrainingClips:
    rows = [row for row in read_manifest(dataset) if row.split == split and row.decodable]
    if not rows:
        raise CorpusError(f"{dataset}: the {split} split is empty")
    file = lips / f"{split}.safetensors"
    return read_clips(read_split(dataset, split), len(rows), encoders, file, f"read {split} clips")


def _source(dataset: Path, foundation: Path) -> str:
    """Return a hash of the data and the frozen models."""
    digest = hashlib.sha256()
    for utterance in read_manifest(dataset):
        digest.update(utterance.model_dump_json().encode())
    for shard in sorted((dataset / "shards").glob("*.tar")):
        digest.update(hashlib.sha256(shard.read_bytes()).digest())
    digest.update(foundation_digest(foundation).encode())
    return digest.hexdigest()


def _key(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
