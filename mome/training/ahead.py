"""What coming steps hear and see, made ready while a step computes.

Decoding, babble and masks need no model. For the recordings of the papers they take longer than a GPU
takes for the step, so other processes do them ahead of time, in order; without any, a thread makes the next
step ready. What they draw follows from [seed, step, place], as always: a training that is continued, or that
several processes share, hears and sees the same.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import DataLoader, Dataset

from mome.config import Augmentation, TrainParams
from mome.errors import MomeError
from mome.modalities import readings
from mome.records import Modality
from mome.training.clips import TrainingClips
from mome.training.pieces import Piece
from mome.training.prefetch import one_ahead
from mome.training.processes import Processes
from mome.training.splicing import Splices
from mome.training.voices import Voices

__all__ = ["SOUND_ALONE", "Prepared", "Step", "prepare", "prepare_steps"]

SOUND_ALONE: frozenset[Modality] = frozenset({"audio"})


class Prepared(NamedTuple):
    """One utterance as a step hears and sees it, ready for the encoders.

    Args:
        samples_N: Its sound ``(N,)`` at 16 kHz, or None without.
        frames_THW: Its mouth ``(T, H, W)`` uint8, or None without, and where features are kept instead.
        rng: What it was drawn with, for whatever is drawn behind the encoders.
        transcript: What is said in it.
        pieces: What it is joined of; empty for a recording as it is.
        read_as: As what it is read, of all that it may be (`mome.training.step.tasks_of`); None for all.
    """

    samples_N: np.ndarray | None
    frames_THW: np.ndarray | None
    rng: np.random.Generator
    transcript: str
    pieces: Sequence[Piece] = ()
    read_as: Collection[Modality] | None = None


class Step(NamedTuple):
    """What one step reads.

    Args:
        indices: Utterances, of all processes.
        mine: Of these, those of this process; one stands twice of which sound alone is a synthetic voice's.
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
    voices: Voices | None = None,
) -> Iterator[Step]:
    """Yield steps with what this process reads in them.

    Args:
        clips: Of the training split.
        batches: Number and utterances of each step.
        side: As `prepare`.
        params: Noise, augmentation, and how many processes beside this one prepare.
        processes: That share each step.
        splices: As `prepare`.
        voices: That are heard in place of some utterances where sound is read alone; None for no others.

    Raises:
        MomeError: What went wrong with the recordings of a step, as if they were read in this process.
    """
    loader = DataLoader(
        _Steps(clips, side, params, processes, splices, voices),
        batch_size=None,
        sampler=batches,
        num_workers=params.loading_processes,
        collate_fn=_as_it_is,
        worker_init_fn=_end_with_parent,
        # They share what is held in memory, and read the open files on.
        multiprocessing_context="fork" if params.loading_processes else None,
    )
    for step in loader if params.loading_processes else one_ahead(loader):
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
        voices: Voices | None,
    ) -> None:
        self._clips, self._side, self._params, self._processes = clips, side, params, processes
        self._splices, self._voices = splices, voices
        self._beside_sound = set(readings(params.task_weights, clips.modality)) - SOUND_ALONE

    def __getitem__(self, batch: tuple[int, Sequence[int]]) -> Step | MomeError:
        step, indices = batch
        params = self._params
        places = self._processes.part(self._clips.num_frames[list(indices)].tolist())
        # What happens to a clip follows from its place in the step, not from who else is in this process.
        rngs = [np.random.default_rng([params.seed, step, 1, place]) for place in places]
        mine = [indices[place] for place in places]
        try:
            prepared = [
                (index, each)
                for index, rng in zip(mine, rngs, strict=True)
                for each in self._prepare(index, rng)
            ]
        except MomeError as error:  # raised there, it would arrive with a traceback for a message
            return error
        return Step(list(indices), [index for index, _ in prepared], [each for _, each in prepared])

    def _prepare(self, index: int, rng: np.random.Generator) -> list[Prepared]:
        """Return an utterance, and the voice that is heard in its place where sound is read alone."""
        params = self._params
        # Its own draws: an utterance is heard and seen alike with and without a voice beside it.
        voice = None if self._voices is None else self._prepare_voice(index, rng.spawn(1)[0])
        if voice is not None and not self._beside_sound:
            return [voice]
        own = prepare(self._clips, index, self._side, params, rng, params.augmentation, self._splices)
        return [own] if voice is None else [own._replace(read_as=self._beside_sound), voice]

    def _prepare_voice(self, index: int, rng: np.random.Generator) -> Prepared | None:
        params = self._params
        assert self._voices is not None  # who calls this has them
        if rng.random() >= params.synthetic_voices:
            return None
        speech_N, transcript = self._voices.draw(rng)
        samples_N = self._clips.hear_among(
            speech_N, index, params.noise_snrs_db, rng, params.augmentation, is_paced=True
        )
        return Prepared(samples_N, None, rng, transcript, read_as=SOUND_ALONE)


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
