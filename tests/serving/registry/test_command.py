"""The registry on the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mome.bundle import read_bundle
from mome.cli import main
from serving.registry.__main__ import _command
from serving.rollout.comparison import Bounds, Comparison
from serving.rollout.trial import Trial
from tests.page_text import page_text
from tests.serving.registry.planted import bundle, python

Call = Callable[..., str]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call a command; returns what it printed, after "error:" what it complained of."""
    monkeypatch.delenv("MOME_MODEL_REGISTRY", raising=False)
    monkeypatch.setenv("MOME_REGISTRY", str(tmp_path / "registry"))

    def run(*arguments: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", ["registry", *map(str, arguments)])
        code = main(_command)
        printed = capsys.readouterr()
        assert (code != 0) == printed.err.startswith("error: ")
        return printed.out + printed.err

    return run


def test_from_a_bundle_to_the_way_back(call: Call, tmp_path: Path) -> None:
    assert call("list") == "nothing is registered\n"
    versions = []
    for name in ("one", "two"):
        path = bundle(tmp_path / name, name, errors=7)
        versions.append(read_bundle(path).version)
        given = ("--code", "c0ffee", "--run", "run-7", "--image", "mome-train@sha256:abc")
        served = ("--serve-image", "mome-serve@sha256:def")
        assert call("register", "digits", path, *given, *served) == f"digits: {versions[-1]} is candidate\n"
        assert call("promote", "digits", versions[-1]) == f"digits: the champion is {versions[-1]}\n"

    first, second = versions
    head, *rows = call("list").splitlines()
    assert head.split()[:3] == ["corpus", "version", "stage"]
    assert [row.split()[:3] for row in rows] == [
        ["digits", second, "champion"],
        ["digits", first, "archived"],
    ]
    assert "7.0% at a4v2" in rows[0]

    assert call("--by", "anna", "rollback", "digits", "--reason", "too slow") == (
        f"digits: the champion is {first} again\n"
    )
    assert f"left for {first}, by anna: too slow" in call("show", "digits", second)
    refused = call("promote", "digits", second)
    assert "anna went back from it on" in refused
    assert f"promote digits {second} --again --reason" in refused
    assert "give --reason" in call("promote", "digits", second, "--again")
    again = call("promote", "digits", second, "--again", "--reason", "the disk was slow")
    assert again == f"digits: the champion is {second}\n"
    call("--by", "anna", "rollback", "digits", "--reason", "too slow")
    shown = call("show", "digits")
    assert f"version         {first}\nstage           champion\n" in shown
    assert "rolled back, by anna: too slow" in shown
    for line in (
        "code            c0ffee",
        "run             run-7",
        "trained by      mome-train@sha256:abc",
        "serve with      mome-serve@sha256:def",
        "monitor with    not known",
    ):
        assert f"{line}\n" in shown

    pulled = call("pull", "digits", tmp_path / "pulled", "--version", second)
    assert pulled.startswith(f"digits: {second} is in {tmp_path / 'pulled'}")
    assert read_bundle(tmp_path / "pulled").version == second
    assert "evaluation.json" in call("evaluation", "digits", tmp_path / "champion")
    assert (tmp_path / "champion" / "evaluation.json").is_file()
    assert call("prune", "digits", "--keep", "0") == f"digits: files removed of {second}\n"
    assert call("sync", "digits") == "nothing to change\n"


def test_mistakes_are_one_line_that_says_what_there_is(call: Call, tmp_path: Path) -> None:
    assert "no version 'abc' is registered; there are: none" in call("promote", "digits", "abc")
    assert "there is no earlier champion to go back to" in call("rollback", "digits", "--reason", "x")
    assert "there is no champion yet; versions: none" in call("show", "digits")
    assert "there is no champion yet" in call("pull", "digits", tmp_path / "pulled")
    assert "no champion yet" in call("evaluation", "digits", tmp_path / "champion")
    assert "expected a folder or s3://" in call("--registry", "gs://bucket", "list")
    assert "no such folder; expected a bundle" in call("register", "digits", tmp_path / "nothing")


def test_it_runs_as_a_module(tmp_path: Path) -> None:
    process = python(
        "-m", "serving.registry", "--registry", str(tmp_path), "rollback", "digits", "--reason", "x"
    )
    printed, complained = process.communicate(timeout=60)
    assert (process.returncode, printed) == (1, "")
    assert complained == "error: digits: there is no earlier champion to go back to\n"


def test_who_decides_sees_the_gate_and_the_trial_on_one_page_and_nothing_is_promoted(
    call: Call, tmp_path: Path
) -> None:
    paths = {name: bundle(tmp_path / name, name, errors=7) for name in ("one", "two")}
    one, two = (read_bundle(path).version for path in paths.values())
    for path in paths.values():
        call("register", "digits", path)
    call("promote", "digits", one)
    trial = Trial("one-two", "canary", 0.25, Bounds(), tmp_path / "state.json")
    trial.answered_by("champion", one)
    trial.answered_by("candidate", two)
    seen = Comparison(False, False, False, 0.1, 1.0, 0.5, champion_wer=0.04, candidate_wer=0.03)
    for _ in range(20):
        trial.sent()
        trial.add(seen)
    page = tmp_path / "review.html"
    said = call("review", "digits", two, page, "--trial", tmp_path / "state.json")
    assert said.startswith(f"digits: the gate says of {two}: all ")
    text = page_text(page)
    for part in (
        "passed", "of revision", "What its trial has shown", "25% of the transcriptions", "0.50 times",
        "3.0%, the champion's 4.0%, of 20 requests", "words unlike the champion's",
    ):  # fmt: skip
        assert part in text
    assert call("list").count("candidate") == 1, "it is still one"
    assert f"is of {two}, and asked is {one}" in call(
        "review", "digits", one, page, "--trial", tmp_path / "state.json"
    )
    page.write_text("no state")
    assert "is no state of a trial" in call("review", "digits", two, page, "--trial", page)
    assert "What its trial" not in call("review", "digits", two, page) + page_text(page)
