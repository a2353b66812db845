"""One model of the comparison: trained, measured, and never again while its inputs stay the same."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

from mome.compare.listening import Listening
from mome.compare.plan import SNRS_DB, sequences_each
from mome.compare.rank import size_beside
from mome.compare.records import Trial
from mome.config import EvaluateParams, TrainParams
from mome.methods import METHODS
from mome.records import Record
from mome.training.checkpoint import load_checkpoint
from mome.training.run import run as learn
from mome.training.selection import chosen_steps

__all__ = ["Trained", "Trials"]


class Trained(Record):
    """A finished training."""

    seconds: float
    interrupted: bool
    validation_loss: float  # of the weights that were kept


@dataclass(frozen=True)
class Trials:
    """Where trials are made and kept.

    Args:
        dataset: Folder written by ``data.prepare``.
        foundation: Folder with the frozen models.
        work: Folder that outlives an interruption.
        source: Of `source_digest`.
        evaluate: Section ``evaluate``.
        listening: The test clips.
        threads: Of a training; what came out is the same trial, whatever their number.
    """

    dataset: Path
    foundation: Path
    work: Path
    source: str
    evaluate: EvaluateParams
    listening: Listening
    threads: int

    def is_done(self, params: TrainParams) -> bool:
        """Tell whether the trial is finished."""
        return self._result(params).exists()

    def run(self, params: TrainParams) -> Trial:
        """Train and measure a model, or read what was found when that was done before."""
        result = self._result(params)
        if result.exists():
            return Trial.read(result)
        trained = self.train(params)
        started = time.monotonic()
        checkpoint = self._folder(params) / "checkpoint"
        recogniser = load_checkpoint(checkpoint, self.foundation, self.evaluate.device)
        errors = self.listening.errors(recogniser)
        size = size_beside(self.foundation, params)
        trial = Trial(
            method=params.method,
            scales=params.scales,
            seed=params.seed,
            lora_rank=params.lora_rank if METHODS[params.method].lora else None,
            trained=size.trained,
            active=size.active,
            steps=params.steps,
            utterances=params.steps * (params.batch_size // sequences_each(params)),
            validation_loss=trained.validation_loss,
            words=self.listening.words,
            errors=errors,
            training_s=trained.seconds,
            evaluation_s=time.monotonic() - started,
            interrupted=trained.interrupted,
        )
        trial.write(result)
        return trial

    def is_trained(self, params: TrainParams) -> bool:
        """Tell whether the model is trained."""
        return (self._folder(params) / "trained.json").exists()

    def train(self, params: TrainParams) -> Trained:
        """Train a model, or read how that went when it was done before."""
        folder = self._folder(params)
        done, begun = folder / "trained.json", folder / "begun"
        if done.exists():
            return Trained.read(done)
        interrupted = begun.exists()
        folder.mkdir(parents=True, exist_ok=True)
        begun.touch()
        started = time.monotonic()
        mine = params.model_copy(update={"threads": self.threads})
        checkpoint = folder / "checkpoint"
        learn(mine, self.dataset, self.foundation, checkpoint, self.work, with_aligner=False)
        seconds = time.monotonic() - started
        history = json.loads((checkpoint / "history.json").read_text())
        kept = chosen_steps(history, params)
        losses = [row["validation_loss"] for row in history if row["step"] in kept]
        trained = Trained(seconds=seconds, interrupted=interrupted, validation_loss=sum(losses) / len(losses))
        trained.write(done)
        return trained

    def _folder(self, params: TrainParams) -> Path:
        return self.work / "models" / _hash(self.source, params.model_dump_json())

    def _result(self, params: TrainParams) -> Path:
        key = _hash(self.source, params.model_dump_json(), self.evaluate.model_dump_json(), SNRS_DB)
        scales = "+".join(params.scales)
        return self.work / "trials" / f"{params.method}-{scales}-{params.seed}-{key}.json"


def _hash(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
