"""Synthetic clips with a phoneme label per frame: what the embedded encoders are taught with."""

# Shape letters: T frames (50 Hz for sound, 25 Hz for video).

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mome.foundation.words import draw_sentence
from mome.progress import progress
from mome.scales import AUDIO_FRAMES_PER_SECOND, VIDEO_FRAMES_PER_SECOND
from mome.synthesis import SyntheticUtterance, render_all
from mome.synthesis.phonemes import PHONEMES, SILENCE, phoneme_class
from mome.synthesis.speakers import speakers
from mome.synthesis.speech import Phoneme

__all__ = ["Lesson", "frame_labels", "make_lessons"]

_INDEX = {phoneme: index for index, phoneme in enumerate(PHONEMES)}


@dataclass(frozen=True)
class Lesson:
    """One clip and what is said in each of its frames.

    Args:
        samples: ``(N,)`` at 16 kHz.
        mouth: ``(T, 96, 96)`` at 25 fps.
        audio_labels_T, video_labels_T: Index into ``PHONEMES`` at 50 Hz and at 25 Hz.
    """

    samples: NDArray[np.float32]
    mouth: NDArray[np.uint8]
    audio_labels_T: NDArray[np.int64]
    video_labels_T: NDArray[np.int64]


def make_lessons(count: int, seed: int) -> list[Lesson]:
    """Render lessons spoken by the training speakers only: nobody of validation or test is heard."""
    rng = random.Random(f"{seed}-lessons")
    everybody = speakers("train")
    plan = [
        SyntheticUtterance(
            f"lesson-{index:05d}", "train", rng.choice(everybody), draw_sentence(rng), rng.randrange(2**31)
        )
        for index in range(count)
    ]
    lessons = []
    for rendered in progress(render_all(plan), "synthesise lessons", total=count):
        samples, mouth = rendered.clip.samples, rendered.clip.mouth
        assert samples is not None  # synthesis always gives both
        assert mouth is not None
        lessons.append(
            Lesson(
                samples,
                mouth,
                frame_labels(rendered.phonemes, len(mouth) * 2, AUDIO_FRAMES_PER_SECOND),
                frame_labels(rendered.phonemes, len(mouth), VIDEO_FRAMES_PER_SECOND),
            )
        )
    return lessons


def frame_labels(phonemes: Sequence[Phoneme], num_frames: int, frames_per_second: int) -> NDArray[np.int64]:
    """Return the phoneme class in the middle of each frame ``(T,)``; silence where nothing is said."""
    labels_T = np.full(num_frames, _INDEX[SILENCE], np.int64)
    middles_T = (np.arange(num_frames) + 0.5) / frames_per_second
    for phoneme in phonemes:
        inside = (middles_T >= phoneme.start_s) & (middles_T < phoneme.end_s)
        labels_T[inside] = _INDEX[phoneme_class(phoneme.symbol)]
    return labels_T
