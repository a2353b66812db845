"""The search: one grid for all, the lowest validation loss wins, and what it chose is what is trained."""

from itertools import product
from pathlib import Path
from types import SimpleNamespace

import pytest

from mome.compare.plan import base_params, models_of
from mome.compare.tuning import Grid, pilots, tune, tuned_models
from mome.config import TrainParams
from mome.errors import ConfigError

GRID = Grid((1e-3, 3e-3), (1.0, 4.0))


class PlantedTrials:
    """Trainings whose validation loss is lowest at one learning rate and strength."""

    def __init__(self, rate: float, strength: float) -> None:
        self.best = rate, strength

    def train(self, params: TrainParams) -> SimpleNamespace:
        rate, strength = self.best
        strange = abs(params.learning_rate - rate) / rate + abs(_strength(params) - strength) / strength
        return SimpleNamespace(validation_loss=0.5 + strange)


def _strength(params: TrainParams) -> float:
    return params.lora_scaling if params.method == "mtsk-ms" else params.init_std


@pytest.mark.parametrize("method", ["mtsk-ms", "mome-layer"])
@pytest.mark.parametrize(("rate", "factor"), list(product(GRID.learning_rates, GRID.factors)))
def test_what_validation_likes_best_is_trained(
    foundation: Path, train_params: TrainParams, method: str, rate: float, factor: float
) -> None:
    base = base_params(train_params)
    models = models_of(base, method, foundation)
    tried = pilots(models, 5, GRID)
    assert [(each.learning_rate, each.steps) for each in tried] == [
        (1e-3, 5), (1e-3, 5), (3e-3, 5), (3e-3, 5)
    ]  # fmt: skip
    (published,) = models
    # An expert is drawn twice with its deviation, LoRA has a factor.
    strength = _strength(published) * (factor if method == "mtsk-ms" else factor**0.5)
    found = tune(method, tried, GRID, PlantedTrials(rate, strength))
    assert (found.learning_rate, found.factor, len(found.attempts)) == (rate, factor, 4)
    (model,) = tuned_models(models, found, 40)
    assert (model.learning_rate, model.steps, _strength(model)) == (rate, 40, pytest.approx(strength))


@pytest.mark.parametrize(
    ("rates", "factors", "said"),
    [
        ((), (1.0,), r"learning rates to try are \[\], expected positive"),
        ((1e-3, 0.0), (1.0,), r"learning rates to try are \[0.001, 0\]"),
        ((1e-3,), (float("nan"),), r"factors to try are \[nan\]"),
    ],
)
def test_a_grid_that_says_nothing_is_refused(
    rates: tuple[float, ...], factors: tuple[float, ...], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        Grid(rates, factors)
