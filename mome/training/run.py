"""The training loop: which clips, which scales, which step, and how it is continued."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from mome.config import TrainParams
from mome.errors import CorpusError, TrainingError
from mome.machine.processor import begin
from mome.modalities import needed, readings
from mome.model.audio_encoder import longest_of
from mome.model.avsr import AVSRModel, Features
from mome.model.encoders import Encoders
from mome.model.recogniser import Recogniser
from mome.progress import progress
from mome.records import Modality
from mome.speech.faces.models import FaceModels
from mome.speech.manifest_rows import Rows
from mome.speech.manifest_table import read_table
from mome.speech.noise import Noise
from mome.speech.noise_file import noise_digest, noise_of
from mome.speech.shards import SplitReader, shard_sums
from mome.training.ahead import prepare_steps
from mome.training.alignment import teach_aligner
from mome.training.batches import batches
from mome.training.checkpoint import foundation_digest, new_recogniser, write_checkpoint
from mome.training.clips import TrainingClips, read_clips
from mome.training.lengths import check_lengths, joined_lengths
from mome.training.own_encoders import NO_OWN, has_own, teach_own
from mome.training.pace import Pace, write_pace
from mome.training.processes import Processes, join_processes
from mome.training.report import write_report
from mome.training.selection import keep_weights, restore_weights
from mome.training.splicing import Splices
from mome.training.spoken import ENOUGH_S, Spoken, find_spoken, keep_spoken
from mome.training.state import History, key, load_state, save_state
from mome.training.status import Report, reporting
from mome.training.step import backward, scales_of_step, tasks_of
from mome.training.validation import validate
from mome.training.voices import Voices, keep_voices

__all__ = ["learning_rate", "run", "source_digest"]

_BETAS = (0.9, 0.98)  # of Llama-AVSR
_SPLICED_S = 3600  # of speech in which words are found to join it anew, which more has no need of


def run(
    params: TrainParams,
    dataset: Path,
    foundation: Path,
    output: Path,
    work: Path,
    *,
    with_aligner: bool = True,
) -> None:
    """Fine-tune MoME and the projectors, and LoRA on the encoders where ``params`` asks for it.

    Killed at any moment and started again with the same inputs, it ends with the same weights as an
    uninterrupted run: the state is kept under ``work``, and what a step sees follows from its number.
    Started by torchrun, several processes share each step and end with the weights of one.

    Args:
        params: Section ``train``.
        dataset: Folder written by ``data.prepare``.
        foundation: Folder with the frozen encoders and LLM.
        output: Checkpoint folder to write, with ``training.html`` beside the weights.
        work: Folder that outlives an interruption.
        with_aligner: Whether the checkpoint is to know when words are said; that takes a passage over the
            training split, which who only counts errors can do without.

    Raises:
        ConfigError: If there is no such noise.
        CorpusError: If the training split is empty.
        TrainingError: If a clip is too short for a scale or too long for the encoder, or the loss is not
            finite, in training or in validation.
    """
    params = begin(params, "train")
    with (
        join_processes(params.device) as processes,
        closing(SplitReader(dataset, "train")) as train,
        closing(SplitReader(dataset, "validation")) as validation,
    ):
        _train(params, train, validation, foundation, output, work, processes, with_aligner)


def _train(
    params: TrainParams,
    train_split: SplitReader,
    validation_split: SplitReader,
    foundation: Path,
    output: Path,
    work: Path,
    processes: Processes,
    with_aligner: bool,
) -> None:
    if processes.most(params.precision == "float32"):  # machines may differ, and what they share may not
        params = params.model_copy(update={"precision": "float32"})
    dataset = train_split.dataset
    corpus = json.loads((dataset / "corpus.json").read_text())
    # Before anything is loaded.
    only = _read(train_split, params)
    longest = longest_of(foundation / "audio")
    for split in (train_split, validation_split):
        check_lengths(split, _read(split, params), params, longest)
    source = source_digest(dataset, foundation)
    noise = noise_of(params.noise)
    trained = key(source, params.model_dump_json(), noise_digest(params.noise))
    state = work / f"train-{trained}" / "state.safetensors"
    own, spoken, recorded = NO_OWN, None, None
    if any(has_own(params, train_split.modality, foundation)) or params.splicing:
        recorded = _clips(train_split, None, None, only, noise)
        seconds = _SPLICED_S if params.splicing else ENOUGH_S
        spoken = keep_spoken(work / f"spoken-{key(source, only, seconds)}", recorded, seconds, processes)
        own = teach_own(recorded, foundation, params, work, source, spoken, processes)
    recogniser = new_recogniser(foundation, params, processes, own)
    # What the video encoder sees does not depend on how MoME is trained on it: a key of its own.
    encoded_once = params.augmentation == "cached-lips" and not params.video_lora_rank and only != "audio"
    lips = work / f"lips-{key(source, own.video and own.video.name)}" if encoded_once else None
    if encoded_once and not processes.is_first:
        processes.wait()  # until the first one has encoded the lips
    train = recorded if recorded and not lips else _clips(train_split, recogniser.encoders, lips, only, noise)
    validation = _clips(validation_split, recogniser.encoders, lips, only, noise)
    if encoded_once and processes.is_first:
        processes.wait()
    splices = _splices(train, train_split, spoken, params, longest)
    voices = _voices(train, source, params, longest, work, processes)
    pace = Pace()
    with reporting(params.steps, wanted=processes.is_first) as report:
        history = _fit(recogniser, train, validation, params, state, processes, pace, report, splices, voices)
    if processes.is_first:
        steps = restore_weights(state.parent, recogniser.trained_parameters(), history, params)
        aligner = None
        if with_aligner and (said := spoken or find_spoken(train)) is not None:
            aligner = teach_aligner(recogniser, train, said, params)
        write_checkpoint(
            output, recogniser, foundation, params, corpus, history, aligner, FaceModels.of(dataset), own
        )
        write_report(output / "training.html", history, steps, params, corpus)
        write_pace(pace, work, output)
    processes.wait()


def learning_rate(step: int, params: TrainParams) -> float:
    """Return the rate of a step: a linear warm-up, then half a cosine down to zero (model facts 6)."""
    warm_up = round(params.steps * params.warm_up)
    if step < warm_up:
        return params.learning_rate * (step + 1) / warm_up
    done = (step - warm_up) / max(1, params.steps - warm_up)
    return params.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def _fit(
    recogniser: Recogniser,
    train: TrainingClips,
    validation: TrainingClips,
    params: TrainParams,
    state: Path,
    processes: Processes,
    pace: Pace,
    report: Report,
    splices: Splices | None,
    voices: Voices | None,
) -> History:
    """Train; returns the losses by step."""
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
    processes.wait()  # nobody writes a state that another one has yet to read
    model.train()
    steps = range(done, params.steps)
    # What a step sees follows from its number alone, so that a continued run sees the same.
    drawn = batches(train.num_frames.tolist(), utterances, params.batch_frames, params.seed)
    numbered = zip(steps, itertools.islice(drawn, done, None), strict=False)
    side = recogniser.encoders.video.picture_side
    prepared = prepare_steps(train, numbered, side, params, processes, splices, voices)
    for step in progress(steps, f"fine-tune {params.method}") if processes.is_first else steps:
        pace.begin()
        read = next(prepared)
        if len(read.indices) < processes.world:
            raise TrainingError(
                f"{processes.world} processes, but step {step} has {len(read.indices)} utterances; "
                "raise train.batch_size or train.batch_frames"
            )
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, params)
        optimizer.zero_grad(set_to_none=True)
        losses = backward(recogniser, train, read, params, step, processes)
        if not torch.isfinite(losses.language):
            raise TrainingError(
                f"the loss is {losses.language.item()} at step {step}; lower train.learning_rate"
            )
        torch.nn.utils.clip_grad_norm_(parameters.values(), params.max_grad_norm)
        optimizer.step()
        pace.end(step + 1, len(read.indices), int(train.num_frames[read.indices].sum()))
        row = {"step": step + 1, "loss": losses.language.item(), "balance": losses.balance.item()}
        is_due = (step + 1) % params.checkpoint_every == 0 or step + 1 == params.steps
        if is_due:
            held_out = validate(recogniser, validation, params, utterances, processes)
            # Before anything is kept: a training that is started again would go on from these weights.
            if not math.isfinite(held_out.loss):
                raise TrainingError(
                    f"the validation loss is {held_out.loss} after step {step + 1}; lower train.learning_rate"
                )
            row |= {"validation_loss": held_out.loss, "validation_wer": held_out.wer}
        if is_due and processes.is_first:
            keep_weights(state.parent, parameters, [*history, row], params)
            save_state(state, parameters, optimizer, [*history, row], step + 1)
        history.append(row)
        report(step + 1, {name: value for name, value in row.items() if name != "step"})
    return history


def _splices(
    train: TrainingClips, split: SplitReader, spoken: Spoken | None, params: TrainParams, max_num_samples: int
) -> Splices | None:
    """Return what draws joined utterances; None where none are wanted, or no sound tells where words are."""
    if not params.splicing or spoken is None:
        return None
    speakers = [utterance.speaker for utterance in split.utterances]
    lengths = train.num_frames.tolist()
    bounds = joined_lengths(params, max_num_samples, max(lengths))
    return Splices(spoken, train.transcripts, speakers, lengths, params.splicing, bounds)


def _voices(
    train: TrainingClips,
    source: str,
    params: TrainParams,
    max_num_samples: int,
    work: Path,
    processes: Processes,
) -> Voices | None:
    """Return who is heard in place of some utterances; None for nobody, and where no sound is read alone."""
    if not params.synthetic_voices or "audio" not in readings(params.task_weights, train.modality):
        return None
    bounds = joined_lengths(params, max_num_samples, int(train.num_frames.max()))
    kept = work / f"voices-{key(source, params.seed, bounds)}"
    return keep_voices(kept, train.transcripts, bounds, params.seed, processes)


def _utterances_per_step(model: AVSRModel, train: TrainingClips, params: TrainParams) -> int:
    """A batch counts sequences: a corpus without lips has fewer per utterance, and sees more utterances."""
    either = Features(torch.empty(0), torch.empty(0)).only(train.modality)
    scales = scales_of_step(model.method, model.scales, np.random.default_rng(0))
    tasks = tasks_of(either, scales, (), params.task_weights)
    return max(1, params.batch_size // len(tasks))


def _read(reader: SplitReader, params: TrainParams) -> Modality:
    """Return what of the clips some task reads: sound, lips or both."""
    if not len(reader):
        raise CorpusError(f"{reader.dataset}: the {reader.split} split is empty")
    reads = readings(params.task_weights, reader.modality)
    if not reads:
        raise TrainingError(
            f"the corpus has {reader.modality} recordings, but train.task_weights trains only "
            f"{', '.join(params.task_weights)}"
        )
    return needed(reads)


def _clips(
    reader: SplitReader,
    encoders: Encoders | None,
    lips: Path | None,
    only: Modality,
    noise: tuple[Noise | None, ...],
) -> TrainingClips:
    if not len(reader):
        raise CorpusError(f"{reader.dataset}: the {reader.split} split is empty")
    file = None if lips is None else lips / f"{reader.split}.safetensors"
    return read_clips(reader, encoders, file, f"read {reader.split} clips", only, noise)


def source_digest(dataset: Path, foundation: Path) -> str:
    """Return a hash of the data and the frozen models, without reading the recordings.

    Raises:
        CorpusError: If a shard is damaged, or an earlier version wrote it.
    """
    digest = hashlib.sha256()
    for utterance in Rows(read_table(dataset)):
        digest.update(utterance.model_dump_json().encode())
    for held in shard_sums(dataset):
        digest.update(held.encode())
    digest.update(foundation_digest(foundation).encode())
    return digest.hexdigest()
