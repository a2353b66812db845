"""One model of the comparison: trained, measured, and never again while its inputs stay the same."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mome.compare.listening import Listening
from mome.compare.plan import SNRS_DB
from mome.compare.rank import size_beside
from mome.compare.records import Trial
from mome.config import EvaluateParams, TrainParams
from mome.methods import METHODS
from mome.records import Record
from mome.training.checkpoint import load_checkpoint
from mome.training.run import run as train

__all__ = ["Trials"]


class _Trained(Record):
    """A finished training."""

    seconds: float
    interrupted: bool


@dataclass(frozen=True)
class Trials:
    """Where trials are made and kept.

    Args:
        dataset: Folder written by ``data.prepare``.
        foundation: Folder with the frozen models.
        work: Folder that outlives an interruption.
        source: Of `source_digest`.
        evaluate: Section ``evaluate``.
        noisy: Scales that are read with noise.
        listening: The test clips.
    """

    dataset: Path
    foundation: Path
    work: Path
    source: str
    evaluate: EvaluateParams
    noisy: Sequence[str]
    listening: Listening

    def is_done(self, params: TrainParams) -> bool:
        """Tell whether the trial is finished."""
        return self._result(params).exists()

    def run(self, params: TrainParams) -> Trial:
        """Train and measure a model, or read what was found when that was done before."""
        result = self._result(params)
        if result.exists():
            return Trial.read(result)
        folder = self.work / "models" / _hash(self.source, params.model_dump_json())
        trained = self._train(params, folder)
        started = time.monotonic()
        recogniser = load_checkpoint(folder / "checkpoint", self.foundation, self.evaluate.device)
        errors = self.listening.errors(recogniser, self.noisy)
        size = size_beside(self.foundation, params)
        trial = Trial(
            method=params.method,
            scales=params.scales,
            seed=params.seed,
            lora_rank=params.lora_rank if METHODS[params.method].lora else None,
            trained=size.trained,
            active=size.active,
            sequences=params.steps * params.batch_size,
            words=self.listening.words,
            errors=errors,
            training_s=trained.seconds,
            evaluation_s=time.monotonic() - started,
            interrupted=trained.interrupted,
        )
        trial.write(result)
        return trial

    def _train(self, params: TrainParams, folder: Path) -> _Trained:
        done, begun = folder / "trained.json", folder / "begun"
        if done.exists():
            return _Trained.read(done)
        interrupted = begun.exists()
        folder.mkdir(parents=True, exist_ok=True)
        begun.touch()
        started = time.monotonic()
        train(params, self.dataset, self.foundation, folder / "checkpoint", self.work)
        trained = _Trained(seconds=time.monotonic() - started, interrupted=interrupted)
        trained.write(done)
        return trained

    def _result(self, params: TrainParams) -> Path:
        key = _hash(
            self.source, params.model_dump_json(), self.evaluate.model_dump_json(), SNRS_DB, tuple(self.noisy)
        )
        scales = "+".join(params.scales)
        return self.work / "trials" / f"{params.method}-{scales}-{params.seed}-{key}.json"


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
