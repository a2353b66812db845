"""Teach the aligner on what training has read, once the weights stand; it changes none of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mome.alignment import Aligner
from mome.alignment.head import Floats
from mome.alignment.teaching import find_times, solve_heads
from mome.config import TrainParams
from mome.model.recogniser import Recogniser
from mome.scales import VIDEO_FRAMES_PER_SECOND
from mome.speech.audio import SAMPLES_PER_AUDIO_FRAME
from mome.training.clips import TrainingClips
from mome.training.encoding import encode_plain

__all__ = ["teach_aligner"]

# With twice as many the times of words are the same within two or three milliseconds.
_ENOUGH_S = 1000


def teach_aligner(recogniser: Recogniser, clips: TrainingClips, params: TrainParams) -> Aligner | None:
    """Return an aligner for what the recogniser's encoders hear and see, or None without sound.

    Times are found in the clean recordings; the heads are taught in the noise of training.

    Args:
        recogniser: With its last weights.
        clips: Of the training split.
        params: Noise levels are those of training.
    """
    if clips.modality == "video":
        return None
    chosen = _some(clips)
    if not chosen:
        return None
    texts = [clips.transcripts[index] for index in chosen]
    characters = "".join(sorted(set("".join(texts)) - {" "}))
    times = find_times([clips.waveforms[index] for index in chosen], texts, characters)

    @torch.inference_mode()
    def encode(part: Sequence[int]) -> list[tuple[Floats | None, Floats | None]]:
        features = encode_plain(recogniser, clips, [chosen[number] for number in part], params)
        return [(_array(each.audio_TC), _array(each.video_TC)) for each in features]

    return solve_heads(characters, times, encode)


def _some(clips: TrainingClips) -> list[int]:
    """Return clips from all over the split that last long enough together and hold their text."""
    chosen, seconds = [], 0.0
    # Every so manieth first, so that every speaker and chapter has a part in it.
    length_s = clips.num_frames / VIDEO_FRAMES_PER_SECOND
    stride = max(1, int(length_s.sum() / _ENOUGH_S))
    for index in np.argsort(np.arange(len(clips)) % stride, kind="stable").tolist():
        spoken = clips.transcripts[index].replace(" ", "")
        if not 0 < len(spoken) <= len(clips.waveforms[index]) // SAMPLES_PER_AUDIO_FRAME:
            continue
        chosen.append(index)
        seconds += float(length_s[index])
        if seconds >= _ENOUGH_S:
            break
    return chosen


def _array(features_TC: Tensor | None) -> Floats | None:
    return None if features_TC is None else features_TC.float().numpy(force=True)
