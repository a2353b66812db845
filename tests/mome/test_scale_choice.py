"""The rule is compared with a plain loop over every scale, on tables drawn at random."""

import numpy as np
import pytest

from mome.expectation import Surroundings
from mome.records import Promise
from mome.scale_choice import choose
from mome.scales import Scale
from tests.planted import condition, evaluation, table

SCALES = [Scale(4, 2), Scale(4, 5), Scale(16, 2), Scale(16, 5)]
COLUMNS = ["clean", "babble_0"]
CONDITIONS = [condition(None, 30, 25, 40), condition(0, 4, 2, 6)]
PROMISE = Promise(max_wer={"av": 0.1, "audio": 0.2}, confidence=0.9)


@pytest.mark.parametrize("seed", range(20))
def test_the_cheapest_or_the_finest_that_keeps_every_promise_is_chosen_else_the_best(seed: int) -> None:
    rng = np.random.default_rng(seed)
    errors = {
        name: {
            str(scale): dict(zip(COLUMNS, map(int, rng.integers(1, most, 2)), strict=True))
            for scale in SCALES
        }
        for name, most in (("av", 25), ("audio", 40))
    }
    evaluated = evaluation(
        {"av": table(errors["av"]), "audio": table(errors["audio"])}, conditions=CONDITIONS
    )
    shares = {"av": rng.dirichlet([1, 1]), "audio": rng.dirichlet([1, 1])}
    traffic = [
        Surroundings("av", COLUMNS, shares["av"][None]),
        Surroundings("audio", COLUMNS, shares["audio"][None]),
    ]

    keeping, over = [], {}
    for scale in SCALES:
        excess = -1.0
        for name, promised in (("av", 0.1), ("audio", 0.2)):
            rate = sum(
                share * errors[name][str(scale)][key] / 100
                for share, key in zip(shares[name], COLUMNS, strict=True)
            )
            excess = max(excess, rate - promised)  # the table is planted as known exactly
        over[scale] = excess
        if excess <= 0:
            keeping.append(scale)
    for spending, wanted in (("cheapest", -1), ("finest", 0)):
        found = choose(evaluated, traffic, SCALES, PROMISE, spending)  # type: ignore[arg-type]
        assert found.keeps == bool(keeping)
        assert found.scale == (keeping[wanted] if keeping else min(SCALES, key=lambda scale: over[scale]))
