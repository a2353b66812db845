"""Encoder features, computed once: the encoders are frozen, so every epoch would only repeat them."""

# Shape letters: T frames, C encoder width.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.torch import load_file, save_file
from torch import Tensor

from mome.model.avsr import Features
from mome.model.encoders import Encoders
from mome.progress import progress
from mome.records import Utterance
from mome.speech.augmentation import change_speed, colour
from mome.speech.media import Clip
from mome.speech.noise import with_babble
from mome.storage import new_file

__all__ = ["FeatureSet", "NoisyCopies", "extract"]

_CLIPS_PER_PASS = 8


@dataclass(frozen=True)
class NoisyCopies:
    """What noise each utterance is heard in: babble of other utterances of the same split.

    Args:
        snrs_db: One is drawn for each copy; None is clean.
        copies: Per utterance.
        seed: Of the draws.
        change_pace: Play every copy but the first a little faster or slower, through another microphone; not
            where lips go with the sound.
    """

    snrs_db: Sequence[float | None]
    copies: int
    seed: int
    change_pace: bool = False

    def of(self, index: int, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the copies of one utterance; the same on every call."""
        rng = np.random.default_rng([self.seed, index])
        heard: list[np.ndarray] = []
        for _ in range(self.copies):
            snr_db = self.snrs_db[int(rng.integers(len(self.snrs_db)))]
            samples = with_babble(waveforms, index, snr_db, rng)
            if self.change_pace and heard:
                samples = colour(change_speed(samples, rng.uniform(0.88, 1.14)), rng)
            heard.append(samples)
        return heard


@dataclass(frozen=True)
class FeatureSet:
    """Features of a split: several noisy audio copies and one video per utterance, float16.

    Args:
        audio: Per copy and utterance ``(T, C)``; no copies without sound.
        video: Per utterance ``(T, C)``; empty without video.
        transcripts: Per utterance.
    """

    audio: list[list[Tensor]]
    video: list[Tensor]
    transcripts: list[str]

    def features(self, index: int, copy: int) -> Features:
        """Return one utterance as heard in one copy, in float32."""
        return Features(
            self.audio[copy][index].float() if self.audio else None,
            self.video[index].float() if self.video else None,
        )

    def save(self, path: Path) -> None:
        """Write all features to one safetensors file, whole or not at all."""
        tensors = {f"video.{i}": features for i, features in enumerate(self.video)}
        for copy, rows in enumerate(self.audio):
            tensors |= {f"audio.{copy}.{i}": features for i, features in enumerate(rows)}
        with new_file(path) as temporary:
            save_file(tensors, temporary)

    @classmethod
    def load(cls, path: Path, transcripts: list[str]) -> FeatureSet:
        """Read what `save` wrote; the transcripts stay in the manifest."""
        tensors = load_file(path)
        count = len(transcripts)
        copies = sum(1 for name in tensors if name.startswith("audio.") and name.endswith(".0"))
        return cls(
            [[tensors[f"audio.{copy}.{i}"] for i in range(count)] for copy in range(copies)],
            [tensors[f"video.{i}"] for i in range(count)] if "video.0" in tensors else [],
            transcripts,
        )


def extract(
    split: Iterable[tuple[Utterance, Clip]],
    total: int,
    encoders: Encoders,
    noise: NoisyCopies,
    description: str,
) -> FeatureSet:
    """Encode a whole split.

    Args:
        split: Utterances with their clips; read once, so that video need not fit into memory.
        total: How many, for the progress bar.
        encoders: The frozen encoders.
        noise: What the sound is mixed with.
        description: For the progress bar.
    """
    transcripts: list[str] = []
    waveforms: list[np.ndarray] = []
    video: list[Tensor] = []
    waiting: list[Clip] = []

    def encode_waiting() -> None:
        video.extend(f.video_TC.half() for f in encoders.encode(waiting) if f.video_TC is not None)
        waiting.clear()

    for utterance, clip in progress(split, f"{description}: video", total=total):
        transcripts.append(utterance.transcript)
        if clip.samples is not None:
            waveforms.append(clip.samples)
        if clip.mouth is not None:
            waiting.append(Clip(None, clip.mouth))
        if len(waiting) == _CLIPS_PER_PASS:
            encode_waiting()
    if waiting:
        encode_waiting()

    audio: list[list[Tensor]] = [[] for _ in range(noise.copies if waveforms else 0)]
    for start in progress(range(0, len(waveforms), _CLIPS_PER_PASS), f"{description}: audio"):
        indices = range(start, min(start + _CLIPS_PER_PASS, len(waveforms)))
        heard = [noise.of(index, waveforms) for index in indices]
        for copy, rows in enumerate(audio):
            encoded = encoders.encode([Clip(copies[copy], None) for copies in heard])
            rows.extend(f.audio_TC.half() for f in encoded if f.audio_TC is not None)
    return FeatureSet(audio, video, transcripts)
