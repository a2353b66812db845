"""What coming steps hear and see, made ready while a step computes.

Decoding, babble and masks need no model. For the recordings of the papers they take longer than a GPU
takes for the step, so other processes do them ahead of time, in order. What they draw follows from
[seed, step, place], as always: a training that is continued, or that several processes share, hears and
sees the same.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import DataLoader, Dataset

from mome.config import Augmentation, TrainParams
from mome.errors import MomeError
from mome.training.clips import TrainingClips
from mome.training.pieces import Piece
from mome.training.processes import Processes
from mome.training.splicing import Splices

__all__ = ["Prepared", "Step", "prepare", "prepare_steps"]


class Prepared(NamedTuple):
    """One utterance as a step hears and sees it, ready for the encoders.

    Args:
        samples_N: Its sound ``(N,)`` at 16 kHz, or None without.
        frames_THW: Its mouth ``(T, H, W)`` uint8, or None without, and where features are kept instead.
        rng: What it was drawn with, for whatever is drawn behind the encoders.
        transcript: What is said in it.
        pieces: What it is joined of; empty for a recording as it is.
    """

    samples_N: np.ndarray | None
    frames_THW: np.ndarray | None
    rng: np.random.Generator
    transcript: str
    pieces: Sequence[Piece] = ()


class Step(NamedTuple):
    """What one step reads.

    Args:
        indices: Utterances, of all processes.
        mine: Of these, those of this process.
        prepared: Each of the latter.
    """

    indices: list[int]
    mine: list[int]
    prepared: list[Prepared]


def prepare(
    clips: TrainingClips,
    index: int,
    side: int,
    params: TrainParams,
    rng: np.random.Generator,
    augmentation: Augmentation | None,
    splices: Splices | None = None,
) -> Prepared:
    """Return an utterance in noise, and changed otherwise if an augmentation is given.

    Args:
        clips: Of the split.
        index: Of the utterance.
        side: Of the picture that the video encoder sees, in pixels.
        params: Which noise.
        rng: Draws everything.
        augmentation: None for validation.
        splices: Draws what an utterance is joined of; None leaves all recordings whole.
    """
    drawn = None if splices is None else splices.draw(index, rng)
    pieces, transcript = drawn or ((), clips.transcripts[index])
    is_heard = len(clips.waveforms) > 0
    samples_N = clips.hear(index, params.noise_snrs_db, rng, augmentation, pieces) if is_heard else None
    frames_THW = clips.watch(index, side, rng, augmentation, pieces)
    return Prepared(samples_N, frames_THW, rng, transcript, pieces)


def prepare_steps(
    clips: TrainingClips,
    batches: Iterable[tuple[int, Sequence[int]]],
    side: int,
    params: TrainParams,
    processes: Processes,
    splices: Splices | None = None,
) -> Iterator[Step]:
    """Yield steps with what this process reads in them.

    Args:
        clips: Of the training split.
        batches: Number and utterances of each step.
        side: As `prepare`.
        params: Noise, augmentation, and how many processes beside this one prepare.
        processes: That share each step.
        splices: As `prepare`.

    Raises:
        MomeError: What went wrong with the recordings of a step, as if they were read in this process.
    """
    loader = DataLoader(
        _Steps(clips, side, params, processes, splices),
        batch_size=None,
        sampler=batches,
        num_workers=params.loading_processes,
        collate_fn=_as_it_is,
        worker_init_fn=_end_with_parent,
        # They share what is held in memory, and read the open files on.
        multiprocessing_context="fork" if params.loading_processes else None,
    )
    for step in loader:
        if isinstance(step, MomeError):
            raise step
        yield step


class _Steps(Dataset["Step | MomeError"]):
    def __init__(
        self,
        clips: TrainingClips,
        side: int,
        params: TrainParams,
        processes: Processes,
        splices: Splices | None,
    ) -> None:
        self._clips, self._side, self._params, self._processes = clips, side, params, processes
        self._splices = splices

    def __getitem__(self, batch: tuple[int, Sequence[int]]) -> Step | MomeError:
        step, indices = batch
        params = self._params
        places = self._processes.part(self._clips.num_frames[list(indices)].tolist())
        # What happens to a clip follows from its place in the step, not from who else is in this process.
        rngs = [np.random.default_rng([params.seed, step, 1, place]) for place in places]
        mine = [indices[place] for place in places]
        try:
            prepared = [
                prepare(self._clips, index, self._side, params, rng, params.augmentation, self._splices)
                for index, rng in zip(mine, rngs, strict=True)
            ]
        except MomeError as error:  # raised there, it would arrive with a traceback for a message
            return error
        return Step(list(indices), mine, prepared)


def _end_with_parent(_worker: int) -> None:
    """Let this process end when the training is killed.

    torch notices as well, but then waits for what it has prepared to be fetched, for ever.
    """
    training = multiprocessing.parent_process()
    assert training is not None  # this is a worker

    def watch() -> None:
        training.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _as_it_is(step: Any) -> Any:
    """Leave arrays what they are: tensors would take shared memory, of which a container has little."""
    return step
