"""Teaches the embedded audio encoder itself the voices of the corpus, before anything reads its features.

A published Whisper has heard more people than any corpus of one's own holds, and is given LoRA at most. One
that was taught with synthetic voices hears real ones as it would hear a stranger's accent.
"""

# Shape letters: N samples, T frames (50 Hz).

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from mome.config import TrainParams
from mome.foundation.side_by_side import Teaching
from mome.model.audio_encoder import AudioEncoder
from mome.speech.audio import SAMPLES_PER_AUDIO_FRAME, Samples
from mome.speech.augmentation import change_speed, colour
from mome.training.clips import PACE, VARIED, TrainingClips
from mome.training.spelling import Batch, classes_at, paced, teach
from mome.training.spoken import Spoken

__all__ = ["teach_sound"]

_DRAWS = 4  # tells these draws from all others of the same seed


def teach_sound(
    encoder: AudioEncoder, clips: TrainingClips, spoken: Spoken | None, params: TrainParams
) -> Teaching:
    """Train all of the audio encoder for ``params.audio_steps``, step by step; returns its last loss.

    Every clip is heard anew in the noise of the training, through another microphone, faster or slower.

    Args:
        encoder: To teach; it comes back frozen.
        clips: Of the training split, with sound.
        spoken: When its characters are said; None if that could not be found.
        params: Section ``train``.

    Raises:
        TrainingError: If the loss is not finite.
    """
    known = {} if spoken is None else dict(zip(spoken.indices, spoken.classes, strict=True))
    rng = np.random.default_rng([params.seed, _DRAWS])

    def draw(indices: Sequence[int]) -> Batch:
        # Nothing is played so slowly that the encoder would not take it.
        slowest = [len(clips.waveforms[index]) / encoder.max_num_samples for index in indices]
        paces = np.maximum(rng.uniform(*PACE, len(indices)), slowest)
        heard = [
            _varied(clips.hear(index, params.noise_snrs_db, rng), pace, rng)
            for index, pace in zip(indices, paces, strict=True)
        ]
        said = [
            classes_at(known.get(index), paced(len(samples_N) // SAMPLES_PER_AUDIO_FRAME, pace))
            for index, pace, samples_N in zip(indices, paces, heard, strict=True)
        ]
        return [torch.from_numpy(samples_N) for samples_N in heard], said

    return teach("audio", encoder, clips, spoken, params, draw)


def _varied(samples_N: Samples, pace: float, rng: np.random.Generator) -> Samples:
    """Return a clip as somebody faster or slower says it, mostly through another microphone."""
    paced_N = change_speed(samples_N, pace)
    return colour(paced_N, rng) if rng.random() < VARIED else paced_N
