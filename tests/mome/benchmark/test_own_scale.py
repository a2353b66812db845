"""The rules on planted readings, of which it is known what each must choose, and the bound by trial."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest

from mome.benchmark.own_scale import Readings, best_at, rules
from mome.records import Evaluation, Promise
from mome.scales import Scale
from mome.speech.noise_estimate import NoiseEstimate
from tests.planted import condition, evaluation, table

SCALES = [Scale(4, 2), Scale(4, 5), Scale(16, 5)]
CONDITIONS = [condition(None, 30, 27, 33), condition(-5, -5, -7, -3)]
RATES = {
    "a4v2": {"clean": 1, "babble_-5": 5},
    "a4v5": {"clean": 2, "babble_-5": 20},
    "a16v5": {"clean": 3, "babble_-5": 40},
}


@dataclass
class PlantedBundle:
    evaluation: Evaluation


def readings(clean_db: float = 30.0) -> Readings:
    noisy = np.arange(40) >= 20
    errors = np.array([[RATES[str(s)]["babble_-5" if n else "clean"] for n in noisy] for s in SCALES], float)
    tokens = np.array([[round(4 * scale.tokens_per_second)] * 40 for scale in SCALES])
    estimates = [
        NoiseEstimate(-5.0 if n else clean_db, True, "babble" if n else "none", 1.0, 0.8, -20.0)
        for n in noisy
    ]
    return Readings(SCALES, errors, np.full(40, 100), tokens, noisy, estimates, "av")


def test_clean_requests_take_the_cheapest_scale_and_noisy_ones_the_finest() -> None:
    bundle = PlantedBundle(evaluation({"av": table(RATES)}, conditions=CONDITIONS))
    found = rules(readings(), bundle, Promise(max_wer={"av": 0.08}, confidence=0.9))  # type: ignore[arg-type]
    own = found["auto, with the window as prior"]
    assert own.tolist() == [2] * 20 + [0] * 20
    assert found["one for the window, as published"].tolist() == [0] * 40


@pytest.mark.parametrize("tokens", [0.4, 0.6, 0.8])
def test_the_bound_is_what_no_mixture_of_two_pairs_goes_below(tokens: float) -> None:
    made = readings()
    spent = [made.tokens[scale, 0] / made.tokens[0, 0] for scale in range(3)]
    lowest = 1.0
    pairs = list(product(range(3), repeat=2))
    for (a, b), (c, d) in product(pairs, repeat=2):
        for part in np.linspace(0, 1, 201):
            cost = (part * (spent[a] + spent[b]) + (1 - part) * (spent[c] + spent[d])) / 2
            one, other = (
                made.errors[a, 0] + made.errors[b, -1],
                made.errors[c, 0] + made.errors[d, -1],
            )
            if cost <= tokens:
                lowest = min(lowest, (part * one + (1 - part) * other) / 200)
    assert best_at(made, tokens) == pytest.approx(lowest, abs=2e-3)
