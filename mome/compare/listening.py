"""The test clips as every model hears them: the same lips, the same babble; and what a model gets wrong."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from mome.compare.plan import SNRS_DB
from mome.compare.records import cell_key
from mome.config import EvaluateParams
from mome.errors import CorpusError
from mome.machine.processor import use_threads
from mome.model.avsr import AVSRModel, Features, Task
from mome.model.encoders import Encoders
from mome.model.recogniser import Recogniser
from mome.records import snr_key
from mome.scales import Scale
from mome.speech.media import Clip
from mome.speech.noise import with_babble
from mome.speech.shards import read_split
from mome.wer import word_errors

__all__ = ["Listening"]

_CLIPS_PER_PASS = 8


class Listening:
    """Plays the test split to one model after another; clips are read, and lips encoded, once.

    Args:
        dataset: Folder written by ``data.prepare``.
        params: Section ``evaluate``; its noise and its levels are not used.
    """

    def __init__(self, dataset: Path, params: EvaluateParams) -> None:
        self._dataset, self._params = dataset, params
        self._lips: list[Features] = []

    def errors(self, recogniser: Recogniser) -> dict[str, list[int]]:
        """Return edits per utterance at every scale of a trained model, clean and in noise."""
        use_threads(self._params.threads)
        encoders, model = recogniser
        counted: dict[str, list[int]] = {}
        for snr_db in (None, *SNRS_DB):
            features = self._features(encoders, snr_db)
            for scale in model.scales:
                texts = self._read(model, features, scale)
                counted[cell_key(str(scale), snr_key(snr_db))] = [
                    word_errors(reference, text)[0]
                    for reference, text in zip(self._references, texts, strict=True)
                ]
        return counted

    @property
    def words(self) -> list[int]:
        """Reference words per utterance."""
        return [len(reference.split()) for reference in self._references]

    @cached_property
    def _clips(self) -> list[tuple[str, Clip]]:
        clips = [(utterance.transcript, clip) for utterance, clip in read_split(self._dataset, "test")]
        if not clips:
            raise CorpusError(f"{self._dataset}: the test split is empty, so there is nothing to measure")
        return clips

    @property
    def _references(self) -> list[str]:
        return [transcript for transcript, _ in self._clips]

    @cached_property
    def _waveforms(self) -> list[np.ndarray]:
        return [clip.samples for _, clip in self._clips if clip.samples is not None]

    def _features(self, encoders: Encoders, snr_db: float | None) -> list[Features]:
        # The video encoder is frozen, so every model sees the same; the audio encoder may carry LoRA.
        if not self._lips:
            self._lips = _encode(encoders, [Clip(None, clip.mouth) for _, clip in self._clips])
        # A level's number of its own: adding one would not change the babble of the others.
        level = 0 if snr_db is None else 1 + SNRS_DB.index(snr_db)
        heard = [
            with_babble(
                self._waveforms, index, snr_db, np.random.default_rng([self._params.seed, level, index])
            )
            for index in range(len(self._waveforms))
        ]
        sound = _encode(encoders, [Clip(samples, None) for samples in heard])
        return [Features(s.audio_TC, v.video_TC) for s, v in zip(sound, self._lips, strict=True)]

    def _read(self, model: AVSRModel, features: Sequence[Features], scale: Scale) -> list[str]:
        tasks = [Task(clip, scale) for clip in features]
        order = np.argsort([task.num_tokens for task in tasks], kind="stable").tolist()
        size = self._params.batch_size
        texts: dict[int, str] = {}
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            budgets = [self._params.decoding.budget(self._clips[index][1].duration_s) for index in batch]
            written = model.transcribe([tasks[index] for index in batch], budgets)
            texts |= dict(zip(batch, written, strict=True))
        return [texts[index] for index in range(len(tasks))]


def _encode(encoders: Encoders, clips: Sequence[Clip]) -> list[Features]:
    features: list[Features] = []
    for start in range(0, len(clips), _CLIPS_PER_PASS):
        features += encoders.encode(clips[start : start + _CLIPS_PER_PASS])
    return features
