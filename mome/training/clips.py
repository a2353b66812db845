"""What training reads: sound as it was recorded, lips as features, and how a clip is heard anew each time."""

# Shape letters: N samples, T frames, C encoder width.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from mome.model.encoders import Encoders
from mome.progress import progress
from mome.records import Utterance
from mome.scales import VIDEO_FRAMES_PER_SECOND
from mome.speech.audio import SAMPLING_RATE
from mome.speech.augmentation import change_speed, colour
from mome.speech.media import Clip
from mome.speech.noise import with_babble
from mome.storage import new_file

__all__ = ["TrainingClips", "draw_clips", "read_clips"]

_CLIPS_PER_PASS = 8
_PACE = (0.88, 1.14)  # slower and faster by about an eighth, as people are
_VARIED = 0.75  # share of the clips


@dataclass(frozen=True)
class TrainingClips:
    """The usable utterances of a split.

    Args:
        waveforms: Per utterance ``(N,)`` at 16 kHz; empty without sound.
        lips: Per utterance features ``(T, C)`` in float16; empty without video. The video encoder is
            frozen, so they are computed once.
        transcripts: Per utterance.
    """

    waveforms: list[np.ndarray]
    lips: list[Tensor]
    transcripts: list[str]

    def __len__(self) -> int:
        return len(self.transcripts)

    @cached_property
    def num_frames(self) -> NDArray[np.int64]:
        """Length of every utterance ``(N,)`` in video frames of 40 ms, with or without video."""
        if self.lips:
            return np.array([len(features_TC) for features_TC in self.lips])
        return np.array(
            [len(samples) * VIDEO_FRAMES_PER_SECOND // SAMPLING_RATE for samples in self.waveforms]
        )

    def hear(
        self, index: int, snrs_db: Sequence[float | None], rng: np.random.Generator, *, vary: bool
    ) -> np.ndarray:
        """Return the sound of one utterance in babble of the others, at a level drawn from ``snrs_db``.

        Args:
            index: Of the utterance.
            snrs_db: None is clean.
            rng: Draws everything.
            vary: Most of the time also through another microphone; and faster or slower, unless lips go
                with the sound.
        """
        snr_db = snrs_db[int(rng.integers(len(snrs_db)))]
        samples = with_babble(self.waveforms, index, snr_db, rng)
        if vary and rng.random() < _VARIED:
            if not self.lips:
                samples = change_speed(samples, rng.uniform(*_PACE))
            samples = colour(samples, rng)
        return samples

    def see(self, index: int) -> Tensor | None:
        """Return the features of one utterance's lips in float32, or None without video."""
        return self.lips[index].float() if self.lips else None


def draw_clips(num_frames: NDArray[np.int64], count: int, frames: int, rng: np.random.Generator) -> list[int]:
    """Draw the utterances of a step evenly.

    Args:
        num_frames: Length of every utterance ``(N,)``.
        count: How many to draw.
        frames: If positive, draw instead until the next one would exceed so many frames; at least one is
            drawn (frames per batch, as Llama-AVSR counts them: model facts 6). What no longer fits is
            mostly long, so in small batches long utterances are a little rarer.
        rng: Draws.
    """
    if frames <= 0:
        return rng.integers(len(num_frames), size=count).tolist()
    # More than enough: the shortest utterance, over and over, would fill the frames.
    drawn = rng.integers(len(num_frames), size=frames // max(1, int(num_frames.min())) + 1)
    fitting = int((num_frames[drawn].cumsum() <= frames).sum())
    return drawn[: max(1, fitting)].tolist()


def read_clips(
    split: Iterable[tuple[Utterance, Clip]], total: int, encoders: Encoders, lips: Path, description: str
) -> TrainingClips:
    """Read a split, and encode its lips unless that was done before.

    Args:
        split: Utterances with their clips; read once, so that video need not fit into memory.
        total: How many, for the progress bar.
        encoders: Of the foundation.
        lips: File to keep the lips' features in; an interrupted run finds them there.
        description: For the progress bar.
    """
    transcripts: list[str] = []
    waveforms: list[np.ndarray] = []
    encoded = _load(lips) if lips.exists() else []
    known = len(encoded)
    waiting: list[np.ndarray] = []

    def encode_waiting() -> None:
        with torch.no_grad():
            encoded.extend(features_TC.half() for features_TC in encoders.see(waiting))
        waiting.clear()

    for utterance, clip in progress(split, description, total=total):
        transcripts.append(utterance.transcript)
        if clip.samples is not None:
            waveforms.append(clip.samples)
        if clip.mouth is not None and not known:
            waiting.append(clip.mouth)
        if len(waiting) == _CLIPS_PER_PASS:
            encode_waiting()
    encode_waiting()
    if encoded and not known:
        with new_file(lips) as temporary:
            save_file({str(index): tensor for index, tensor in enumerate(encoded)}, temporary)
    return TrainingClips(waveforms, encoded, transcripts)


def _load(lips: Path) -> list[Tensor]:
    tensors = load_file(lips)
    return [tensors[str(index)] for index in range(len(tensors))]
