"""Longer and longer trainings, until validation stops falling for every method."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mome.compare.records import Rung, Trial
from mome.methods import MethodName

__all__ = ["has_levelled", "rung_of", "within_time"]

_LEAST_GAIN = 0.02  # of the loss: less is not waited for


def rung_of(trials: Sequence[Trial]) -> Rung:
    """Return what one length of training gave a method.

    Args:
        trials: All models that it trains, of one seed.
    """
    first = trials[0]
    errors: dict[str, float] = {}
    for trial in trials:
        errors |= {condition: sum(wrong) / sum(trial.words) for condition, wrong in trial.errors.items()}
    return Rung(
        method=first.method,
        steps=first.steps,
        utterances=first.utterances,
        validation_loss=float(np.mean([trial.validation_loss for trial in trials])),
        training_s=sum(trial.training_s for trial in trials),
        rates=errors,
    )


def has_levelled(before: Sequence[Rung], after: Sequence[Rung]) -> bool:
    """Tell whether no method's validation loss fell any more from one length of training to the next.

    Args:
        before: A rung of each method.
        after: The next, of the same methods in the same order.
    """
    return all(
        long.validation_loss > (1 - _LEAST_GAIN) * short.validation_loss
        for short, long in zip(before, after, strict=True)
    )


def within_time(rungs: Sequence[Rung]) -> dict[MethodName, Rung]:
    """Return the longest training of each method that takes no more time than that of the quickest one.

    A method of one scale trains all its models in that time. Where not even its shortest training fits,
    a method has none.
    """
    by_method: dict[MethodName, list[Rung]] = {}
    for rung in rungs:
        by_method.setdefault(rung.method, []).append(rung)
    most = min(max(rung.training_s for rung in own) for own in by_method.values())
    found = {method: [rung for rung in own if rung.training_s <= most] for method, own in by_method.items()}
    return {method: max(own, key=lambda rung: rung.steps) for method, own in found.items() if own}
