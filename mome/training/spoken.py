"""When each character of the training split is said, as far as its sound tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mome.alignment.path import Classes
from mome.alignment.teaching import find_times
from mome.scales import VIDEO_FRAMES_PER_SECOND
from mome.speech.audio import SAMPLES_PER_AUDIO_FRAME
from mome.training.clips import TrainingClips

__all__ = ["Spoken", "find_spoken"]

# With twice as many the times of words are the same within two or three milliseconds.
_ENOUGH_S = 1000


@dataclass(frozen=True)
class Spoken:
    """What is said in each frame of some clips.

    Args:
        indices: Of the clips in their split.
        characters: All that occur in their texts, but for the space.
        classes: Per clip, of every frame of 20 ms ``(T,)``: silence, or a character counted from 1.
    """

    indices: Sequence[int]
    characters: str
    classes: Sequence[Classes]


def find_spoken(clips: TrainingClips) -> Spoken | None:
    """Find it in the clean recordings; None without sound, or if no clip is long enough for its text."""
    if clips.modality == "video":
        return None
    indices = _some(clips)
    if not indices:
        return None
    texts = [clips.transcripts[index] for index in indices]
    characters = "".join(sorted(set("".join(texts)) - {" "}))
    return Spoken(
        indices, characters, find_times([clips.waveforms[index] for index in indices], texts, characters)
    )


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
