"""What a comparison leaves behind: one record per trained model, and one of them all."""

from __future__ import annotations

from pydantic import FiniteFloat

from mome.methods import MethodName
from mome.records import Modality, Record, ScaleText, WordErrors

__all__ = ["Attempt", "Cell", "Comparison", "Gap", "Row", "Rung", "Trial", "Tuned", "cell_key"]


def cell_key(scale: str, snr: str) -> str:
    """Return the key of a condition: ``a4v2/clean``, ``a16v5/-5`` ..."""
    return f"{scale}/{snr}"


class Trial(Record):
    """One trained model, and what it got wrong."""

    method: MethodName
    scales: list[ScaleText]  # that it was trained for
    seed: int
    lora_rank: int | None  # None for experts
    trained: int  # parameters beside the LLM
    active: int  # of them, those that one token of one scale meets
    steps: int
    utterances: int  # heard in training, each as often as it was
    validation_loss: FiniteFloat  # of the weights that were kept
    words: list[int]  # reference words per test utterance
    errors: dict[str, list[int]]  # per condition (`cell_key`), per test utterance
    training_s: FiniteFloat
    evaluation_s: FiniteFloat
    interrupted: bool  # then training_s counts only the last stretch


class Attempt(Record):
    """One short training, to see which values suit a method."""

    learning_rate: FiniteFloat
    factor: FiniteFloat  # on what the adapters add at their start, as published
    validation_loss: FiniteFloat


class Tuned(Record):
    """What was chosen for a method on validation."""

    method: MethodName
    learning_rate: FiniteFloat
    factor: FiniteFloat
    steps: int  # of each attempt
    attempts: list[Attempt]


class Rung(Record):
    """What one length of training gave a method, with the first seed."""

    method: MethodName
    steps: int
    utterances: int  # heard by each of its models
    validation_loss: FiniteFloat  # mean over its models
    training_s: FiniteFloat  # of all its models
    rates: dict[str, FiniteFloat]  # word error rate per condition


class Cell(Record):
    """Word errors of a method in one condition, summed over seeds."""

    total: WordErrors
    by_seed: dict[int, FiniteFloat]  # word error rate


class Row(Record):
    """A method: what it costs and how well it reads."""

    method: MethodName
    name: str  # as the papers print it
    lora_rank: int | None
    trained: int  # of one model
    active: int
    models: int  # trained for each seed
    utterances: int  # heard by each model
    seconds: FiniteFloat  # training and evaluation, all models and seeds
    cells: dict[str, Cell]


class Gap(Record):
    """Word error rate of ``first`` minus that of ``second`` on the same utterances."""

    first: MethodName
    second: MethodName
    condition: str
    rate: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    same_sign: bool  # in every seed

    @property
    def verdict(self) -> int:
        """Return -1 if ``first`` has fewer errors, 1 if it has more, 0 if the numbers do not tell."""
        if not self.same_sign or self.low <= 0 <= self.high:
            return 0
        return 1 if self.rate > 0 else -1


class Comparison(Record):
    """All of it."""

    corpus: str
    revision: str
    utterances: int
    scales: list[ScaleText]
    snrs: list[str]  # keys of the noise levels, without ``clean``
    seeds: list[int]
    steps: int  # of every model of the tables
    utterances_per_step: int
    trained: list[Modality]  # each utterance is read as each of them
    levelled: bool  # no method would have gained from more steps
    bootstrap_samples: int
    mome_active: int  # what LoRA's ranks are chosen to meet
    interrupted: bool
    seconds: FiniteFloat  # training and evaluation, all rows
    tuned: list[Tuned]
    rungs: list[Rung]
    rows: list[Row]
    gaps: list[Gap]
