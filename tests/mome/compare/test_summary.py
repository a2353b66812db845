"""Planted errors give exactly the table, sums and intervals that follow from them."""

import numpy as np
import pytest

from mome.compare.records import Trial
from mome.compare.summary import gaps_between, method_name, summarise_trials
from mome.config import TrainParams
from mome.errors import EvaluationError

WORDS = [5, 3, 8, 4]


def trial(
    method: str, scales: list[str], seed: int, errors: dict[str, list[int]], **changed: object
) -> Trial:
    fields: dict[str, object] = {
        "method": method,
        "scales": scales,
        "seed": seed,
        "lora_rank": None,
        "trained": 100,
        "active": 10,
        "steps": 5,
        "utterances": 60,
        "validation_loss": 0.5,
        "words": WORDS,
        "errors": errors,
        "training_s": 3.0,
        "evaluation_s": 0.5,
        "interrupted": False,
    }
    return Trial.model_validate(fields | changed)


ALONE = [
    trial("mome-mhsa-i", ["a4v2"], 1, {"a4v2/clean": [1, 0, 2, 0]}),
    trial("mome-mhsa-i", ["a16v5"], 1, {"a16v5/clean": [2, 1, 2, 0]}),
    trial("mome-mhsa-i", ["a4v2"], 2, {"a4v2/clean": [0, 0, 3, 1]}),
    trial("mome-mhsa-i", ["a16v5"], 2, {"a16v5/clean": [4, 1, 2, 4]}),
]
BOTH = ["a4v2", "a16v5"]
JOINT = [
    trial("mtsk-ms", BOTH, 1, {"a4v2/clean": [0, 0, 1, 0], "a16v5/clean": [3, 2, 2, 0]}, lora_rank=7),
    trial("mtsk-ms", BOTH, 2, {"a4v2/clean": [0, 1, 1, 0], "a16v5/clean": [2, 2, 2, 0]}, lora_rank=7),
]


def interval(errors: list[int], words: list[int], samples: int, seed: int) -> tuple[float, float]:
    """The percentile bootstrap as one loop per drawn set."""
    rng = np.random.default_rng(seed)
    rates = [
        sum(errors[i] for i in drawn) / sum(words[i] for i in drawn)
        for drawn in rng.integers(len(errors), size=(samples, len(errors)))
    ]
    return float(np.percentile(rates, 2.5)), float(np.percentile(rates, 97.5))


def test_sums_counts_and_intervals_of_a_row(train_params: TrainParams) -> None:
    alone, joint = summarise_trials([*ALONE, *JOINT], train_params, 300, 5)
    assert (alone.name, alone.models, alone.utterances, alone.lora_rank) == (
        "MoME-23/4-MHSA-I†",
        2,
        60,
        None,
    )
    assert (joint.name, joint.models, joint.utterances, joint.lora_rank) == ("MTSK MS", 1, 60, 7)
    assert (alone.seconds, joint.seconds) == (14.0, 7.0)
    fine = alone.cells["a4v2/clean"]
    assert (fine.total.errors, fine.total.words) == (7, 40)
    assert fine.by_seed == {1: 3 / 20, 2: 4 / 20}
    # Both seeds of an utterance are one draw: 1 + 0, 0 + 0, 2 + 3, 0 + 1 edits of twice the words.
    expected = interval([1, 0, 5, 1], [10, 6, 16, 8], 300, 5)
    assert (fine.total.low, fine.total.high) == pytest.approx(expected, abs=1e-12)
    coarse = joint.cells["a16v5/clean"].total
    assert (coarse.errors, coarse.words) == (13, 40)


def test_a_difference_is_paired_and_asks_every_seed() -> None:
    gaps = {gap.condition: gap for gap in gaps_between([*ALONE, *JOINT], 300, 5)}
    assert set(gaps) == {"a4v2/clean", "a16v5/clean"}
    fine = gaps["a4v2/clean"]
    assert (fine.first, fine.second, fine.rate) == ("mome-mhsa-i", "mtsk-ms", pytest.approx(4 / 40))
    assert (fine.low, fine.high) == pytest.approx(interval([1, -1, 3, 1], [10, 6, 16, 8], 300, 5), abs=1e-12)
    assert fine.same_sign
    # 5 - 7 with the first seed, 11 - 6 with the second.
    assert not gaps["a16v5/clean"].same_sign
    assert gaps["a16v5/clean"].verdict == 0


def test_a_verdict_needs_an_interval_without_zero_and_one_sign() -> None:
    gap = gaps_between([*ALONE, *JOINT], 300, 5)[0]
    for low, high, rate, same, verdict in [
        (0.01, 0.2, 0.1, True, 1),
        (-0.2, -0.01, -0.1, True, -1),
        (0.0, 0.2, 0.1, True, 0),
        (-0.1, 0.2, 0.1, True, 0),
        (0.01, 0.2, 0.1, False, 0),
    ]:
        changed = {"low": low, "high": high, "rate": rate, "same_sign": same}
        assert gap.model_copy(update=changed).verdict == verdict


def test_trials_on_other_utterances_are_refused(train_params: TrainParams) -> None:
    odd = trial("mtsk-ss", BOTH, 1, {"a4v2/clean": [0, 0]}, words=[5, 3])
    with pytest.raises(EvaluationError, match="2 utterances of 8 words, mtsk-ms on 4 of 20"):
        summarise_trials([*JOINT, odd], train_params, 10, 0)


def test_names_are_those_of_the_papers(train_params: TrainParams) -> None:
    assert method_name("llama-avsr", train_params) == "Llama-AVSR†"
    per_scale = train_params.model_copy(update={"num_experts": 7, "top_k": {"a4v2": 1, "a16v5": 3}})
    assert method_name("mome-layer", per_scale) == "MoME-7/3-LAYER"
    assert method_name("omni-s", train_params) == "omni-s"
