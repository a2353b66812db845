"""Teaches the video encoder itself to read the lips of the corpus, before anything reads its features.

The papers' AV-HuBERT had seen thousands of people (model facts 1.3) and may stay as it is; one that was
taught with drawn faces knows too little of real ones.
"""

# Shape letters: T frames (25 Hz), S those that are left, H height, W width of a picture.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mome.alignment.path import Classes
from mome.config import TrainParams
from mome.foundation.side_by_side import Teaching
from mome.model.video_encoder import VideoEncoder
from mome.scales import AUDIO_FRAMES_PER_SECOND, VIDEO_FRAMES_PER_SECOND
from mome.training.clips import PACE, TrainingClips
from mome.training.recordings import vary_lips
from mome.training.spelling import Batch, Indices, classes_at, paced, teach
from mome.training.spoken import Spoken

__all__ = ["teach_lips"]

_DRAWS = 3  # tells these draws from all others of the same seed

Frames = NDArray[np.uint8]


def teach_lips(
    encoder: VideoEncoder, clips: TrainingClips, spoken: Spoken | None, params: TrainParams
) -> Teaching:
    """Train all of the video encoder for ``params.video_steps``, step by step; returns its last loss.

    Args:
        encoder: To teach; it comes back frozen.
        clips: Of the training split, with ``mouths``.
        spoken: When its characters are said, where the sound told; None without.
        params: Section ``train``.

    Raises:
        TrainingError: If the loss is not finite.
    """
    known = {} if spoken is None else _labels(spoken)
    rng = np.random.default_rng([params.seed, _DRAWS])

    def draw(indices: Sequence[int]) -> Batch:
        kept = [_paced(int(clips.num_frames[index]), rng) for index in indices]
        frames = [
            torch.from_numpy(vary_lips(_frames(clips, index)[kept_S], encoder.picture_side, rng))
            for index, kept_S in zip(indices, kept, strict=True)
        ]
        said = [classes_at(known.get(index), kept_S) for index, kept_S in zip(indices, kept, strict=True)]
        return frames, said

    return teach("video", encoder, clips, spoken, params, draw)


def _paced(num_frames: int, rng: np.random.Generator) -> Indices:
    """Return which frames show a clip spoken somewhat faster or slower ``(S,)``."""
    pace = rng.uniform(*PACE)
    return np.minimum(paced(max(1, int(num_frames / pace)), pace), num_frames - 1)


def _frames(clips: TrainingClips, index: int) -> Frames:
    frames_THW = None if clips.mouths is None else clips.mouths.mouth(index)
    assert frames_THW is not None  # whoever teaches lips has them
    return frames_THW


def _labels(spoken: Spoken) -> dict[int, Classes]:
    """Return the class of every video frame of the clips whose times are known: the one in its middle."""
    per_frame = AUDIO_FRAMES_PER_SECOND // VIDEO_FRAMES_PER_SECOND
    return {
        index: classes_T[per_frame // 2 :: per_frame]
        for index, classes_T in zip(spoken.indices, spoken.classes, strict=True)
    }
