"""What a comparison leaves behind: one record per trained model, and one of them all."""

from __future__ import annotations

from pydantic import FiniteFloat

from mome.methods import MethodName
from mome.records import Record, ScaleText, WordErrors

__all__ = ["Cell", "Comparison", "Gap", "Row", "Trial", "cell_key"]


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
    sequences: int  # seen in training
    words: list[int]  # reference words per test utterance
    errors: dict[str, list[int]]  # per condition (`cell_key`), per test utterance
    training_s: FiniteFloat
    evaluation_s: FiniteFloat
    interrupted: bool  # then training_s counts only the last stretch


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
    sequences: int  # seen by all models of one seed
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
    noisy_scales: list[ScaleText]
    snrs: list[str]  # keys of the noise levels, without ``clean``
    seeds: list[int]
    steps: int
    sequences_per_step: int
    learning_rate: FiniteFloat
    bootstrap_samples: int
    settings_of: MethodName  # the method that params.yaml is written for
    mome_active: int  # what LoRA's ranks are chosen to meet
    interrupted: bool
    seconds: FiniteFloat  # training and evaluation, all rows
    rows: list[Row]
    gaps: list[Gap]
