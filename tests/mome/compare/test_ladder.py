"""How long is long enough, and what fits into the time of the quickest."""

import pytest

from mome.compare.ladder import has_levelled, rung_of, within_time
from mome.compare.records import Rung, Trial


def rung(method: str, steps: int, loss: float, training_s: float = 1.0) -> Rung:
    return Rung(
        method=method, steps=steps, utterances=steps, validation_loss=loss, training_s=training_s, rates={}
    )


@pytest.mark.parametrize(
    ("first", "second", "levelled"),
    [
        ((1.0, 1.0), (0.99, 0.99), True),
        ((1.0, 1.0), (1.2, 1.0), True),  # it got worse: longer is no better
        ((1.0, 1.0), (0.99, 0.97), False),  # one method still gains
    ],
)
def test_it_is_enough_when_no_method_gains(
    first: tuple[float, float], second: tuple[float, float], levelled: bool
) -> None:
    methods = ("mtsk-ms", "mome-layer")
    before = [rung(method, 10, loss) for method, loss in zip(methods, first, strict=True)]
    after = [rung(method, 20, loss) for method, loss in zip(methods, second, strict=True)]
    assert has_levelled(before, after) == levelled


def test_in_equal_time_each_method_has_its_longest_training_that_fits() -> None:
    rungs = [
        *(rung("mtsk-ms", steps, 1.0, steps * 1.0) for steps in (10, 20, 40)),
        *(rung("mome-layer", steps, 1.0, steps * 1.5) for steps in (10, 20, 40)),
        *(rung("llama-avsr", steps, 1.0, steps * 5.0) for steps in (10, 20, 40)),
    ]
    found = within_time(rungs)
    assert {method: each.steps for method, each in found.items()} == {"mtsk-ms": 40, "mome-layer": 20}


def test_models_of_one_scale_are_taken_together() -> None:
    shared = {
        "method": "llama-avsr", "seed": 1, "lora_rank": 2, "trained": 8, "active": 8, "steps": 5,
        "utterances": 60, "words": [4, 6], "evaluation_s": 1.0, "interrupted": False,
    }  # fmt: skip
    trials = [
        Trial(scales=["a4v2"], validation_loss=0.2, errors={"a4v2/clean": [1, 0]}, training_s=2.0, **shared),
        Trial(
            scales=["a16v5"], validation_loss=0.4, errors={"a16v5/clean": [2, 3]}, training_s=3.0, **shared
        ),
    ]
    found = rung_of(trials)
    assert (found.validation_loss, found.training_s) == (pytest.approx(0.3), 5.0)
    assert found.rates == {"a4v2/clean": 0.1, "a16v5/clean": 0.5}
