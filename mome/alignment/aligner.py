"""Words and their times, from an encoder's frames and the text that was read from them."""

# Shape letters: T frames, C encoder width, K classes: silence and the characters, N states.

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from mome.alignment.head import Floats, Head
from mome.alignment.path import SILENCE, best_paths, states
from mome.errors import CheckpointError
from mome.records import Modality
from mome.scales import AUDIO_FRAMES_PER_SECOND, VIDEO_FRAMES_PER_SECOND

__all__ = ["ALIGNER_FILE", "Aligner", "Span"]

ALIGNER_FILE = "aligner.safetensors"


class Span(NamedTuple):
    """When a word is said."""

    start_s: float
    end_s: float


@dataclass(frozen=True)
class Aligner:
    """Scores frames by what is said in them.

    Args:
        characters: Of the corpus; their classes follow that of silence.
        audio: On the features of sound, at 50 Hz; None if nothing was heard.
        video: On those of lips, at 25 Hz; None if nothing was seen.
    """

    characters: str
    audio: Head | None
    video: Head | None

    def knows(self, modality: Modality) -> bool:
        """Tell whether it times clips that hold ``modality``."""
        return (modality != "video" and self.audio is not None) or (
            modality != "audio" and self.video is not None
        )

    def spans(self, text: str, audio_TC: Floats | None, video_TC: Floats | None) -> list[Span]:
        """Return when each word of ``text`` is said, in order; words are what spaces are between.

        Sound knows better than lips where a word begins: they are for clips without it.

        Args:
            text: What was said. Any sound may stand for a character that the corpus does not have.
            audio_TC: Features of the sound, or None.
            video_TC: Features of the lips, or None.

        Raises:
            ValueError: If there is nothing that the aligner knows.
        """
        words = text.split()
        if not words:
            return []
        if audio_TC is not None and self.audio is not None:
            scores_TK, rate = self.audio(audio_TC), AUDIO_FRAMES_PER_SECOND
        elif video_TC is not None and self.video is not None:
            scores_TK, rate = self.video(video_TC), VIDEO_FRAMES_PER_SECOND
        else:
            raise ValueError("the aligner was taught on other features than these")
        unknown = int(scores_TK.shape[1])
        classes: dict[str, int] = {each: number for number, each in enumerate(self.characters, SILENCE + 1)}
        whole = states([[classes.get(character, unknown) for character in word] for word in words])
        anything_T = scores_TK[:, SILENCE + 1 :].max(axis=1, keepdims=True)
        scores_TK = np.concatenate([scores_TK, anything_T], axis=1)
        # A text that is too long for its frames repeats itself: each frame is then cut into several.
        pieces = -(-sum(map(len, words)) // len(scores_TK))
        scores_TN = np.repeat(scores_TK[:, whole.classes], pieces, axis=0)
        (path_T,) = best_paths([scores_TN], [whole.classes])
        numbers_T = whole.words[path_T]
        starts = np.searchsorted(_without_silence(numbers_T), np.arange(len(words)))
        frames = np.flatnonzero(numbers_T >= 0)
        ends = np.append(starts[1:], len(frames)) - 1
        seconds = 1 / (rate * pieces)
        return [
            Span(float(frames[start] * seconds), float((frames[end] + 1) * seconds))
            for start, end in zip(starts, ends, strict=True)
        ]

    def save(self, path: Path) -> None:
        """Write it as safetensors."""
        tensors = {
            f"{name}.{part}": np.ascontiguousarray(value)  # what is written is the memory as it lies
            for name, head in (("audio", self.audio), ("video", self.video))
            if head is not None
            for part, value in (("weight", head.weight_KD), ("bias", head.bias_K))
        }
        save_file(tensors, path, metadata={"characters": json.dumps(self.characters)})

    @classmethod
    def load(cls, path: Path) -> Aligner:
        """Read what `save` wrote.

        Raises:
            CheckpointError: If the file is damaged or holds something else.
        """
        try:
            with safe_open(path, "numpy") as file:
                characters = json.loads(file.metadata()["characters"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            heads = {
                name: Head(tensors[f"{name}.weight"], tensors[f"{name}.bias"])
                for name in ("audio", "video")
                if f"{name}.weight" in tensors
            }
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path}: not an aligner: {error}") from error
        rows = len(characters) + 1
        for head in heads.values():
            if head.weight_KD.shape[0] != rows or head.bias_K.shape != (rows,):
                raise CheckpointError(f"{path}: an aligner of {rows - 1} characters needs {rows} rows")
        return cls(characters, heads.get("audio"), heads.get("video"))


def _without_silence(numbers_T: np.ndarray) -> np.ndarray:
    return numbers_T[numbers_T >= 0]
