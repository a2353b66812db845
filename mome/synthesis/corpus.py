"""The embedded corpus: who says what, and the rendering of it as sound and mouth video."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import get_args

import numpy as np
from scipy.signal import resample_poly

from mome.machine.processor import available_cores
from mome.machine.threads import one_thread_each
from mome.records import Split
from mome.speech.audio import SAMPLING_RATE
from mome.speech.media import Clip
from mome.synthesis.face import render_mouth
from mome.synthesis.grammar import grid_sentence
from mome.synthesis.speakers import Speaker, speakers
from mome.synthesis.speech import Phoneme, SpokenWord, speak

__all__ = ["SYNTHESIS_VERSION", "SyntheticClip", "SyntheticUtterance", "plan_corpus", "render_all"]

SYNTHESIS_VERSION = 4  # to be raised whenever the same plan renders to other samples
_FRAME_SAMPLES = 640  # samples of one video frame: 16,000 / 25
_SENTENCES_PER_PROCESS = 200
# Recordings begin and end at once or late. A model that never heard half a second of nothing misreads what
# follows it: taught with the short ones alone, 7.0 % of the words behind 0.4 s more, 1.9 % without (a4v2).
_SHORT_QUIET_S, _LONG_QUIET_S = (0.08, 0.3), (0.3, 0.8)
_SHORT_SHARE = 2 / 3


@dataclass(frozen=True)
class SyntheticUtterance:
    """One sentence to be rendered; two equal ones render alike."""

    utterance_id: str
    split: Split
    speaker: Speaker
    transcript: str
    seed: int


@dataclass(frozen=True)
class SyntheticClip:
    """A rendered sentence with the phonemes that frame labels are made of, and its words.

    ``clip.samples`` has exactly 640 samples for every frame of ``clip.mouth``, which is None where
    no mouth was asked for.
    """

    utterance: SyntheticUtterance
    clip: Clip
    phonemes: tuple[Phoneme, ...]
    words: tuple[SpokenWord, ...]


def plan_corpus(train: int, validation: int, test: int, seed: int) -> list[SyntheticUtterance]:
    """Plan sentences of the GRID grammar, speakers split over train, validation and test.

    Args:
        train, validation, test: Number of utterances.
        seed: Of the sentences; speakers take turns.
    """
    plan = []
    for split, count in zip(get_args(Split), (train, validation, test), strict=True):
        rng = random.Random(f"{seed}-{split}")
        everybody = speakers(split)
        for index in range(count):
            speaker = everybody[index % len(everybody)]
            plan.append(
                SyntheticUtterance(
                    f"{speaker.name}-{index:05d}", split, speaker, grid_sentence(rng), rng.randrange(2**31)
                )
            )
    return plan


def render_all(
    utterances: Sequence[SyntheticUtterance], processes: int | None = None, *, with_mouths: bool = True
) -> Iterator[SyntheticClip]:
    """Render every utterance, in order; the same sequence gives the same samples on every run.

    Without mouths, which take nearly all of the time, they sound the same.

    eSpeak NG carries state from sentence to sentence, so each run of 200 gets a fresh process. It is
    forked from a server that has only imported this module: a fork of the caller could inherit a lock
    that one of its threads holds.
    """
    parts = [
        utterances[i : i + _SENTENCES_PER_PROCESS] for i in range(0, len(utterances), _SENTENCES_PER_PROCESS)
    ]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with one_thread_each():
        pool = context.Pool(processes or available_cores(), maxtasksperchild=1)
    with pool:
        for clips in pool.imap(partial(_render_part, with_mouths=with_mouths), parts, chunksize=1):
            yield from clips


def _render_part(utterances: Sequence[SyntheticUtterance], with_mouths: bool) -> list[SyntheticClip]:
    return [_render(utterance, with_mouths) for utterance in utterances]


def _render(utterance: SyntheticUtterance, with_mouth: bool) -> SyntheticClip:
    rng = np.random.default_rng(utterance.seed)
    spoken = speak(utterance.transcript, utterance.speaker.speaking(rng))
    samples = resample_poly(spoken.samples, 320, 441).astype(np.float32)  # 22,050 Hz to 16,000 Hz

    before_s = _quiet_s(rng)
    before = round(before_s * SAMPLING_RATE)
    num_frames = -(-(before + len(samples) + round(_quiet_s(rng) * SAMPLING_RATE)) // _FRAME_SAMPLES)
    padded = np.zeros(num_frames * _FRAME_SAMPLES, np.float32)
    padded[before : before + len(samples)] = (
        samples * rng.uniform(0.3, 0.9) / max(np.abs(samples).max(), 1e-6)
    )
    padded += rng.normal(0, 10 ** rng.uniform(-4, -3), len(padded)).astype(
        np.float32
    )  # the room is never silent

    phonemes = tuple(Phoneme(p.symbol, p.start_s + before_s, p.end_s + before_s) for p in spoken.phonemes)
    words = tuple(SpokenWord(w.text, w.start_s + before_s, w.end_s + before_s) for w in spoken.words)
    mouth = render_mouth(phonemes, num_frames / 25, utterance.speaker.look, rng) if with_mouth else None
    return SyntheticClip(utterance, Clip(padded.clip(-1, 1), mouth), phonemes, words)


def _quiet_s(rng: np.random.Generator) -> float:
    """Draw how long nobody speaks at one end of a clip."""
    return rng.uniform(*(_SHORT_QUIET_S if rng.random() < _SHORT_SHARE else _LONG_QUIET_S))
