"""A sweep: every combination is a run of its own, and a page says which erred least."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mome.cli import main
from mome.errors import ConfigError
from mome.records import GateDecision
from pipelines import sweep
from pipelines.submit.outcome import Outcome, Submission
from pipelines.sweep import Variation, combinations, describe
from tests.page_text import page_text
from tests.pipelines.planted_server import Server
from tests.pipelines.submit.submission import ROOT
from tests.planted import evaluation, table


def test_combinations_are_all_pairs_and_values_with_commas_are_parted_by_semicolons() -> None:
    assert combinations(["train.top_k=2,4", "train.noise_snrs_db=[clean, 5];[0]"]) == [
        ("train.top_k=2", "train.noise_snrs_db=[clean, 5]"),
        ("train.top_k=2", "train.noise_snrs_db=[0]"),
        ("train.top_k=4", "train.noise_snrs_db=[clean, 5]"),
        ("train.top_k=4", "train.noise_snrs_db=[0]"),
    ]


@pytest.mark.parametrize(
    ("varied", "said"),
    [
        ([], "0 combinations|1 combinations"),
        (["train.top_k"], r"--vary train\.top_k: expected section\.name=value"),
        (["corpus=a,b"], "expected section"),
        (["train.top_k=2,"], "expected section"),
        (["train.top_k=2,4", "train.top_k=8"], "given twice"),
        (["train.steps=" + ",".join(map(str, range(65)))], "65 combinations; expected .* at most 64"),
    ],
)
def test_what_is_no_sweep_is_refused(varied: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        combinations(varied)


def ended(errors: dict[str, int]) -> Submission:
    judged = evaluation({"av": table({scale: {"clean": count} for scale, count in errors.items()})})
    outcome = Outcome(verdict="passed", reason="and it was promoted")
    return Submission(pipeline="p", version="1", outcome=outcome, exit_code=0, evaluation=judged)


def test_the_page_has_a_row_for_each_combination_and_a_star_for_the_fewest_errors(tmp_path: Path) -> None:
    found = [
        Variation(("train.top_k=2",), ended({"a4v2": 4, "a16v5": 9})),
        Variation(("train.top_k=4",), ended({"a4v2": 3, "a16v5": 12})),
        Variation(("train.top_k=8",), error="the server is <away>"),
    ]
    describe("width", found, tmp_path / "page.html")
    said = page_text(tmp_path / "page.html")
    assert "**2 of 3** combinations have word errors" in said
    assert "| combination | a4v2 | a16v5 |" in said
    assert "| train.top_k=2 | 4.0% | 9.0% ★ |" in said
    assert "| train.top_k=4 | 3.0% ★ | 12.0% |" in said
    assert "| train.top_k=8 | error | the server is <away> | – |" in said


def test_each_combination_is_a_run_of_its_own_away_from_the_models_that_are_served(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judged = evaluation({"av": table({"a4v2": {"clean": 4}})})
    decision = GateDecision(passed=True, reason="all hold", checks=["ok: a"], max_wer={})
    server.logs = {"gate": f"{judged.model_dump_json()}\n{decision.model_dump_json()}\n"}
    monkeypatch.chdir(ROOT)
    page = tmp_path / "sweep.html"
    words = ["--key", "width", "--vary", "train.top_k=2,4", "--vary", "train.steps=10,20", "--parallel", "1"]
    words += ["--set", "corpus=embedded", "--host", server.address, "--poll", "0.01", "--page", str(page)]
    monkeypatch.setattr(sys, "argv", ["sweep", *words])
    for looks in (1, 2):  # the same key finds the runs again
        assert main(sweep._command) == 0, looks
        sent = [run.runtime_config["parameters"] for run in server.runs]
        assert [each["changes"] for each in sent] == [
            # What is as in params.yaml is no change.
            {name: value for name, value in (("train.top_k", k), ("train.steps", steps)) if value != 4}
            for k in (2, 4)
            for steps in (10, 20)
        ]
        assert {each["registry"] for each in sent} == {"/models/registry-sweeps"}
    assert {experiment.display_name for experiment in server.experiments} == {"sweep-width"}
    assert "| train.top_k=2, train.steps=10 | 4.0% ★ |" in page_text(page)
    assert "train.top_k=4, train.steps=20: passed" in capsys.readouterr().out


def test_a_wrong_value_is_refused_before_the_first_run(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    words = ["--key", "k", "--vary", "train.steps=10,many", "--host", server.address]
    monkeypatch.setattr(sys, "argv", ["sweep", *words, "--page", str(tmp_path / "page.html")])
    assert main(sweep._command) == 1
    assert server.asked == []
