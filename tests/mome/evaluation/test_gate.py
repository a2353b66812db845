"""The gate is asked about planted tables; whatever it decides, its reports are on disk."""

import json
from pathlib import Path
from typing import Any

import pytest

from mome.config import GateParams
from mome.errors import GateRejected
from mome.evaluation import gate
from mome.records import Decoding, Evaluation, GateDecision, WordErrors, condition_key
from tests.planted import condition, evaluation

PARAMS = GateParams(max_wer={"av": {"a4v2": 0.05, "a16v5": 0.10}})
Cell = tuple[int, float, float]  # errors in 1000 words, low, high
GOOD: dict[str, dict[str, Cell]] = {
    "a4v2": {"clean": (20, 0.01, 0.03), "babble_0": (100, 0.08, 0.12)},
    "a16v5": {"clean": (50, 0.04, 0.06), "babble_0": (300, 0.27, 0.33)},
}


def write(folder: Path, table: dict[str, dict[str, Cell]], **changes: Any) -> Path:
    wer = {
        scale: {
            key: WordErrors(errors=e, words=1000, low=low, high=high) for key, (e, low, high) in row.items()
        }
        for scale, row in table.items()
    }
    conditions = [condition(snr_db=level, estimated_snr_db=20, low=10, high=30) for level in (None, 0.0)]
    evaluation({"av": wer}, conditions=conditions, **changes).write(folder / "evaluation.json")
    return folder


def changed(scale: str, key: str, cell: Cell) -> dict[str, dict[str, Cell]]:
    return GOOD | {scale: GOOD[scale] | {key: cell}}


def rejected(
    tmp_path: Path, evaluation: Path, champion: Path | None = None, params: GateParams = PARAMS
) -> GateDecision:
    output = tmp_path / "gate"
    with pytest.raises(GateRejected, match=r"rejected the model: .*gate\.html"):
        gate.run(params, evaluation, champion, output)
    assert "rejected" in (output / "gate.html").read_text()
    return GateDecision.read(output / "gate.json")


def test_a_model_within_budget_passes_and_the_budget_travels_on(tmp_path: Path) -> None:
    decision = gate.run(PARAMS, write(tmp_path / "new", GOOD), None, tmp_path / "gate")
    assert decision == GateDecision.read(tmp_path / "gate" / "gate.json")
    assert decision.passed
    assert decision.max_wer == {"a4v2": 0.05, "a16v5": 0.10}
    assert decision.checks == [
        "ok: budget of a4v2: 2.0% of words wrong on clean speech, 5.0% allowed",
        "ok: budget of a16v5: 5.0% of words wrong on clean speech, 10.0% allowed",
        "ok: champion: none yet, nothing to fall behind",
    ]


def test_exactly_the_budget_is_within_it(tmp_path: Path) -> None:
    gate.run(
        PARAMS, write(tmp_path / "new", changed("a4v2", "clean", (50, 0.03, 0.07))), None, tmp_path / "gate"
    )


def test_one_scale_over_its_budget_rejects_and_is_named(tmp_path: Path) -> None:
    decision = rejected(tmp_path, write(tmp_path / "new", changed("a4v2", "clean", (51, 0.04, 0.06))))
    assert decision.reason == "budget of a4v2: 5.1% of words wrong on clean speech, 5.0% allowed"


def test_noisy_speech_has_no_budget(tmp_path: Path) -> None:
    assert gate.run(
        PARAMS, write(tmp_path / "new", changed("a4v2", "babble_0", (900, 0.8, 1.0))), None, tmp_path / "gate"
    ).passed


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"a4v2": 0.05}, "budget of a16v5: evaluated, but params.yaml has no gate.max_wer"),
        (
            {"a4v2": 0.05, "a16v5": 0.1, "a8v2": 0.1},
            "budget of a8v2: params.yaml has a gate.max_wer for it, but",
        ),
        ({}, r"budget of a4v2: evaluated, but .* \(and 1 more\)"),
    ],
)
def test_table_and_budget_must_name_the_same_scales(
    tmp_path: Path, budget: dict[str, float], message: str
) -> None:
    with pytest.raises(GateRejected, match=message):
        gate.run(GateParams(max_wer={"av": budget}), write(tmp_path / "new", GOOD), None, tmp_path / "gate")


def test_a_table_without_a_clean_column_is_rejected(tmp_path: Path) -> None:
    decision = rejected(tmp_path, write(tmp_path / "new", GOOD | {"a4v2": {"babble_0": (1, 0.0, 0.01)}}))
    assert "not evaluated on clean speech, only at babble 0 dB" in decision.reason


def test_a_table_without_the_corpus_own_modality_is_rejected(tmp_path: Path) -> None:
    assert (
        "nothing was evaluated for 'audio'"
        in rejected(tmp_path, write(tmp_path / "new", GOOD, modality="audio")).reason
    )


@pytest.mark.parametrize("content", [None, "", "{}", '{"wer": {"av": {}}}', "NaN"])
def test_a_missing_or_damaged_table_is_rejected_with_a_report(tmp_path: Path, content: str | None) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    if content is not None:
        (folder / "evaluation.json").write_text(content)
    assert "evaluation.json" in rejected(tmp_path, folder).reason


@pytest.mark.parametrize(("field", "value"), [("low", float("nan")), ("high", float("inf")), ("words", 0)])
def test_a_number_that_is_none_is_rejected(tmp_path: Path, field: str, value: float) -> None:
    folder = write(tmp_path / "new", GOOD)
    record = json.loads((folder / "evaluation.json").read_text())
    record["wer"]["av"]["a4v2"]["clean"][field] = value
    (folder / "evaluation.json").write_text(json.dumps(record))
    assert f"wer.av.a4v2.clean.{field}" in rejected(tmp_path, folder).reason


def test_worse_than_the_champion_beyond_both_intervals_is_a_regression(tmp_path: Path) -> None:
    champion = write(tmp_path / "champion", GOOD)
    decision = rejected(
        tmp_path, write(tmp_path / "new", changed("a16v5", "babble_0", (400, 0.34, 0.46))), champion
    )
    assert decision.reason == (
        "champion at a16v5, babble 0 dB: 40.0% (34.0% to 46.0%) is worse than 30.0% (27.0% to 33.0%)"
    )


def test_worse_within_the_intervals_is_chance(tmp_path: Path) -> None:
    champion = write(tmp_path / "champion", GOOD)
    candidate = write(tmp_path / "new", changed("a16v5", "babble_0", (350, 0.33, 0.37)))
    assert gate.run(PARAMS, candidate, champion, tmp_path / "gate").passed


def test_a_champion_without_errors_does_not_lock_the_door(tmp_path: Path) -> None:
    # 3 in 1000 is what a champion with no error in 1000 words may well have.
    champion = write(tmp_path / "champion", changed("a4v2", "clean", (0, 0.0, 0.0)))
    candidate = write(tmp_path / "new", changed("a4v2", "clean", (5, 0.002, 0.009)))
    assert gate.run(PARAMS, candidate, champion, tmp_path / "gate").passed
    worse = write(tmp_path / "worse", changed("a4v2", "clean", (10, 0.004, 0.016)))
    assert "champion at a4v2, clean" in rejected(tmp_path, worse, champion).reason


def test_only_what_is_comparable_is_compared_and_the_rest_is_said(tmp_path: Path) -> None:
    bad = {scale: {"clean": (1, 0.0, 0.0), "babble_0": (1, 0.0, 0.0)} for scale in ("a8v2", "a8v8")}
    candidate = write(tmp_path / "new", GOOD)

    def last_check(champion: Path) -> str:
        return gate.run(PARAMS, candidate, champion, tmp_path / "gate").checks[-1]

    assert "in common" in last_check(write(tmp_path / "a", bad))
    assert "its corpus is 'digits', not 'planted'" in last_check(write(tmp_path / "b", bad, corpus="digits"))
    some = {"a4v2": GOOD["a4v2"], "a8v2": bad["a8v2"]}
    assert "not compared at a16v5, a8v2" in last_check(write(tmp_path / "c", some))
    assert "revision bbbbbbbbbbbb, this model on 000000000000" in last_check(
        write(tmp_path / "d", GOOD, revision="b" * 40)
    )
    beams = Decoding(num_beams=15, max_new_tokens=32)
    assert "wrote texts with 15 beams and at most 32 tokens, this model with settings" in last_check(
        write(tmp_path / "e", GOOD, decoding=beams)
    )


def test_noise_is_compared_only_with_the_same_noise(tmp_path: Path) -> None:
    champion = write(tmp_path / "champion", GOOD, noise={"babble": "f" * 64})
    noisy = write(tmp_path / "noisy", changed("a16v5", "babble_0", (400, 0.34, 0.46)))
    decision = gate.run(PARAMS, noisy, champion, tmp_path / "gate")
    assert "not compared in babble" in decision.checks[-1]
    clean = write(tmp_path / "clean", changed("a4v2", "clean", (45, 0.04, 0.05)))
    assert "champion at a4v2, clean" in rejected(tmp_path, clean, champion).reason


def test_a_damaged_champion_is_no_free_pass(tmp_path: Path) -> None:
    (tmp_path / "champion").mkdir()
    assert (
        "cannot be compared with"
        in rejected(tmp_path, write(tmp_path / "new", GOOD), tmp_path / "champion").reason
    )


def test_what_a_table_says_cannot_become_markup(tmp_path: Path) -> None:
    gate.run(PARAMS, write(tmp_path / "new", GOOD, corpus="<script>x</script>"), None, tmp_path / "gate")
    text = (tmp_path / "gate" / "gate.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_the_keys_of_the_planted_table_are_those_of_the_records() -> None:
    assert [condition_key(noise, level) for noise, level in ((None, None), ("babble", 0.0))] == [
        "clean",
        "babble_0",
    ]


def test_a_champion_from_before_there_were_kinds_is_compared_in_babble(tmp_path: Path) -> None:
    champion = write(tmp_path / "champion", GOOD) / "evaluation.json"
    old = json.loads(champion.read_text())
    old["noise"] = old["noise"]["babble"]
    del old["estimator"]
    for each in old["conditions"]:
        del each["noise"], each["kinds"]
    old["wer"]["av"] = {
        scale: {key.removeprefix("babble_"): cell for key, cell in row.items()}
        for scale, row in old["wer"]["av"].items()
    }
    champion.write_text(json.dumps(old))
    assert Evaluation.read(champion).estimator == "wada"
    worse = write(tmp_path / "new", changed("a16v5", "babble_0", (600, 0.57, 0.63)))
    assert "champion at a16v5, babble 0 dB" in rejected(tmp_path, worse, champion.parent).reason


def test_a_scale_that_was_never_trained_is_told_and_not_judged(tmp_path: Path) -> None:
    bad: dict[str, Cell] = {"clean": (400, 0.37, 0.43), "babble_0": (900, 0.88, 0.92)}
    better: dict[str, Cell] = {"clean": (10, 0.005, 0.015), "babble_0": (20, 0.01, 0.03)}
    candidate = write(tmp_path / "new", GOOD | {"a8v3": bad}, untrained=["a8v3"])
    champion = write(tmp_path / "champion", GOOD | {"a8v3": better}, untrained=["a8v3"])
    decision = gate.run(PARAMS, candidate, champion, tmp_path / "gate")
    told = [check for check in decision.checks if "a8v3" in check]
    assert told == ["ok: a8v3: never trained, so not judged: 40.0% of words wrong on clean speech"]
    budget = GateParams(max_wer={"av": {"a4v2": 0.05, "a16v5": 0.10, "a8v3": 0.5}})
    assert "but it was never trained" in rejected(tmp_path, candidate, params=budget).reason


def test_a_champion_that_was_not_trained_for_a_scale_is_still_a_rival_at_it(tmp_path: Path) -> None:
    champion = write(tmp_path / "champion", GOOD, untrained=["a16v5"])
    worse = write(tmp_path / "new", changed("a16v5", "babble_0", (400, 0.34, 0.46)))
    assert "champion at a16v5, babble 0 dB" in rejected(tmp_path, worse, champion).reason
