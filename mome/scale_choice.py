"""Which scale keeps a promise on words in given noise: one rule, for all requests and for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mome.expectation import Expected, Surroundings, expected_wer
from mome.records import Evaluation, Modality, Promise, Spending
from mome.scales import Scale

__all__ = ["Choice", "choose"]


class Choice(NamedTuple):
    """A scale, and why it.

    Args:
        scale: The cheapest, or the finest, that keeps every promise; else the best.
        keeps: Whether it keeps them.
        expected: Of every scale, for the modality that is hardest to keep the promise for.
        modality: That modality.
        noise: Share of each column of the table, for that modality.
    """

    scale: Scale
    keeps: bool
    expected: dict[Scale, Expected]
    modality: Modality
    noise: dict[str, float]


def choose(
    evaluation: Evaluation,
    traffic: Sequence[Surroundings],
    scales: Sequence[Scale],
    promise: Promise,
    spending: Spending = "cheapest",
) -> Choice:
    """Return the scale to serve in such noise.

    Args:
        evaluation: The word error table.
        traffic: What requests are surrounded by; each modality once, and each has a promise.
        scales: To choose from, at least one.
        promise: To be kept with its confidence.
        spending: Which of the scales that keep it.

    Raises:
        EvaluationError: If the table lacks a modality, a scale or a column.
    """
    tables = {each.modality: expected_wer(evaluation, each, scales) for each in traffic}

    def excess(scale: Scale) -> float:
        """How far the scale may lie above what was promised for the modality that it serves worst."""
        return max(
            expected[scale].at_most(promise.confidence) - promise.max_wer[modality]
            for modality, expected in tables.items()
        )

    keeping = [scale for scale in scales if excess(scale) <= 0.0]
    if keeping:
        pick = min if spending == "cheapest" else max
        chosen = pick(keeping, key=lambda scale: scale.tokens_per_second)
    else:
        chosen = min(scales, key=lambda scale: (excess(scale), scale.tokens_per_second))
    hardest = max(
        tables, key=lambda name: tables[name][chosen].at_most(promise.confidence) - promise.max_wer[name]
    )
    noise = next(each for each in traffic if each.modality == hardest).mean
    return Choice(chosen, bool(keeping), tables[hardest], hardest, noise)
