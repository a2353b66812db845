"""Learning rate and strength of the adapters, searched for each method on validation, from one grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from mome.compare.plan import begin_with
from mome.compare.records import Attempt, Tuned
from mome.compare.trial import Trials
from mome.config import TrainParams
from mome.errors import ConfigError
from mome.methods import MethodName

__all__ = ["Grid", "pilots", "tune", "tuned_models"]


@dataclass(frozen=True)
class Grid:
    """The values that are tried for every method: no two methods get more tries.

    Args:
        learning_rates: The papers' first, and what a small model may like better.
        factors: On what the adapters add at their start, as published.

    Raises:
        ConfigError: If there is none of either, or one is not a positive number.
    """

    learning_rates: tuple[float, ...] = (1e-3, 2e-3, 4e-3)
    factors: tuple[float, ...] = (0.25, 1.0, 4.0)

    def __post_init__(self) -> None:
        for name, values in (("learning rates", self.learning_rates), ("factors", self.factors)):
            if not values or not all(math.isfinite(value) and value > 0 for value in values):
                listed = ", ".join(f"{value:g}" for value in values)
                raise ConfigError(f"{name} to try are [{listed}], expected positive numbers")

    @property
    def points(self) -> list[tuple[float, float]]:
        """Every learning rate with every factor."""
        return list(product(self.learning_rates, self.factors))


def pilots(models: Sequence[TrainParams], steps: int, grid: Grid) -> list[TrainParams]:
    """Return the trainings among which a method's values are chosen, in the order of the grid.

    A method of one scale is tried at the first of them: its models are alike.

    Args:
        models: All that the method trains, as `mome.compare.plan.models_of` has them.
        steps: Of every one of these trainings.
        grid: To try.
    """
    return [
        begin_with(models[0].model_copy(update={"learning_rate": rate, "steps": steps}), factor)
        for rate, factor in grid.points
    ]


def tune(method: MethodName, tried: Sequence[TrainParams], grid: Grid, trials: Trials) -> Tuned:
    """Return the values with which validation ends lowest, with all that was tried.

    Args:
        method: That was tuned.
        tried: Of `pilots`.
        grid: That was tried.
        trials: That train them, where they are not trained yet.
    """
    attempts = [
        Attempt(learning_rate=rate, factor=factor, validation_loss=trials.train(params).validation_loss)
        for (rate, factor), params in zip(grid.points, tried, strict=True)
    ]
    best = min(attempts, key=lambda attempt: attempt.validation_loss)
    return Tuned(
        method=method,
        learning_rate=best.learning_rate,
        factor=best.factor,
        steps=tried[0].steps,
        attempts=attempts,
    )


def tuned_models(models: Sequence[TrainParams], tuned: Tuned, steps: int) -> list[TrainParams]:
    """Return every model of a method with the values that were chosen for it."""
    chosen = {"learning_rate": tuned.learning_rate, "steps": steps}
    return [begin_with(model.model_copy(update=chosen), tuned.factor) for model in models]
