"""When each word and character of the training split is said, as far as its sound tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from mome.alignment.path import Classes
from mome.alignment.teaching import find_times
from mome.scales import VIDEO_FRAMES_PER_SECOND
from mome.speech.audio import SAMPLES_PER_AUDIO_FRAME
from mome.storage import new_file
from mome.training.clips import TrainingClips
from mome.training.processes import ALONE, Processes

__all__ = ["ENOUGH_S", "Spoken", "find_spoken", "keep_spoken"]

# With twice as many the times of words are the same within two or three milliseconds.
ENOUGH_S = 1000


@dataclass(frozen=True)
class Spoken:
    """What is said in each frame of some clips.

    Args:
        indices: Of the clips in their split.
        characters: All that occur in their texts, but for the space.
        classes: Per clip, of every frame of 20 ms ``(T,)``: silence, or a character counted from 1.
        words: Per clip, of every frame ``(T,)``: number of the word, or -1 for silence.
    """

    indices: Sequence[int]
    characters: str
    classes: Sequence[Classes]
    words: Sequence[Classes]


def find_spoken(clips: TrainingClips, seconds: float = ENOUGH_S) -> Spoken | None:
    """Find it in the clean recordings; None without sound, or if no clip is long enough for its text.

    Args:
        clips: Of the training split.
        seconds: In so much speech of them, where there is more. How characters sound is found out in
            ``ENOUGH_S`` of it.
    """
    if clips.modality == "video":
        return None
    indices = _some(clips, seconds)
    if not indices:
        return None
    texts = [clips.transcripts[index] for index in indices]
    characters = "".join(sorted(set("".join(texts)) - {" "}))
    lasting_s = np.cumsum(clips.num_frames[indices]) / VIDEO_FRAMES_PER_SECOND
    taught = int(np.searchsorted(lasting_s, ENOUGH_S)) + 1
    times = find_times([clips.waveforms[index] for index in indices], texts, characters, taught)
    return Spoken(indices, characters, [each.classes for each in times], [each.words for each in times])


def keep_spoken(
    path: Path, clips: TrainingClips, seconds: float = ENOUGH_S, processes: Processes = ALONE
) -> Spoken | None:
    """Return what `find_spoken` does, from a file if an earlier start has found it.

    Args:
        path: Of the file.
        clips: As `find_spoken`.
        seconds: Likewise.
        processes: Of which the first one finds it, for all.
    """
    if processes.is_first and not path.exists() and (found := find_spoken(clips, seconds)) is not None:
        lengths = [len(each) for each in found.classes]
        kept = {
            "indices": np.array(found.indices),
            "lengths": np.array(lengths),
            "classes": np.concatenate(found.classes),
            "words": np.concatenate(found.words),
        }
        with new_file(path) as temporary:
            save_file(kept, temporary, {"characters": found.characters})
    processes.wait()
    return _load(path) if path.exists() else None


def _load(path: Path) -> Spoken:
    with safe_open(path, "numpy") as file:
        ends = np.cumsum(file.get_tensor("lengths"))[:-1]
        classes, words = (np.split(file.get_tensor(name), ends) for name in ("classes", "words"))
        return Spoken(file.get_tensor("indices").tolist(), file.metadata()["characters"], classes, words)


def _some(clips: TrainingClips, seconds: float) -> list[int]:
    """Return clips from all over the split that last long enough together and hold their text."""
    chosen, lasting = [], 0.0
    # Every so manieth first, so that every speaker and chapter has a part in it.
    length_s = clips.num_frames / VIDEO_FRAMES_PER_SECOND
    stride = max(1, int(length_s.sum() / seconds))
    for index in np.argsort(np.arange(len(clips)) % stride, kind="stable").tolist():
        spoken = clips.transcripts[index].replace(" ", "")
        if not 0 < len(spoken) <= len(clips.waveforms[index]) // SAMPLES_PER_AUDIO_FRAME:
            continue
        chosen.append(index)
        lasting += float(length_s[index])
        if lasting >= seconds:
            break
    return chosen
