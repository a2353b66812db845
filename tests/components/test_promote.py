"""The steps that read and write the registry, called as the executor calls them."""

import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from kfp import dsl, local

from components.catalogue import gate, promote
from mome.errors import GateRejected
from mome.records import GateDecision
from mome.registry.history import Lineage
from serving.registry.address import open_registry
from tests.buckets import ROOT
from tests.page_text import page_text
from tests.serving.registry.planted import bundle, rewrite


def artifact(path: Path) -> SimpleNamespace:
    return SimpleNamespace(path=str(path), metadata={})


def shown(folder: Path) -> list[SimpleNamespace]:
    """Return the page of the step."""
    return [artifact(folder / "page.html")]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MOME_REGISTRY", "MOME_MODEL_REGISTRY", "MOME_CODE_REVISION"):
        monkeypatch.delenv(name, raising=False)


def test_a_promoted_model_keeps_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOME_CODE_REVISION", "c0ffee")
    bundle(tmp_path / "packaged", "1")
    registry = str(tmp_path / "registry")

    images = {"trained_in": "mome-train@sha256:abc", "serve_with": "mome-serve@sha256:def"}
    given = {"run": "run-7", "monitor_with": "mome-monitor@sha256:123"} | images
    promote.python_func(artifact(tmp_path / "packaged"), *shown(tmp_path), "digits", registry, **given)

    champion = open_registry(registry).champion("digits")
    assert champion is not None
    assert champion.lineage == Lineage(
        code="c0ffee",
        run="run-7",
        image="mome-train@sha256:abc",
        serve_image="mome-serve@sha256:def",
        monitor_image="mome-monitor@sha256:123",
    )
    said = page_text(tmp_path / "page.html")
    assert "**promoted** it is the champion of digits now" in said
    assert "champion before: none, this is the first" in said
    assert "There is no earlier champion to go back to." in said
    for line in ("  - name: mome-serve", "    newName: mome-serve", "    digest: sha256:def"):
        assert f"{line}\n" in said


def test_the_page_has_the_champion_before_and_the_lines_out_and_back(tmp_path: Path) -> None:
    registry = str(tmp_path / "registry")
    for name, errors in (("old", 4), ("new", 2)):
        bundle(tmp_path / name, name, errors=errors)
        promote.python_func(artifact(tmp_path / name), *shown(tmp_path), "digits", registry)
    old, new = open_registry(registry).history("digits").versions
    said = page_text(tmp_path / "page.html")
    assert f"champion before: {old}\n- word errors, clean: 2.0% at a4v2, before 4.0%" in said
    assert "| a4v2 | 2.0% (4.0%) |" in said
    # The overlay, as kustomize would read it.
    fragment = said[said.index("configMapGenerator:") : said.index("## Go back")]
    (generator,) = yaml.safe_load(fragment)["configMapGenerator"]
    assert generator["literals"] == ["corpus=digits", f"version={new}"]
    (line,) = [line for line in said.splitlines() if line.startswith("python -m serving.registry ")]
    subprocess.run([sys.executable, *shlex.split(line)[1:]], cwd=ROOT, check=True, capture_output=True)
    champion = open_registry(registry).champion("digits")
    assert champion is not None
    assert champion.version == old


def test_a_step_that_runs_again_says_that_nothing_changed(tmp_path: Path) -> None:
    registry = str(tmp_path / "registry")
    for name, errors in (("old", 4), ("new", 2)):
        bundle(tmp_path / name, name, errors=errors)
        promote.python_func(artifact(tmp_path / name), *shown(tmp_path), "digits", registry)
    promote.python_func(artifact(tmp_path / "new"), *shown(tmp_path), "digits", registry)
    said = page_text(tmp_path / "page.html")
    assert "**champion already**" in said
    assert "nothing was changed" in said
    assert "2.0% at a4v2, before 4.0%" in said


def test_the_versions_whose_files_went_are_named(tmp_path: Path) -> None:
    registry = str(tmp_path / "registry")
    for name, errors in (("first", 4), ("second", 3), ("third", 2)):
        bundle(tmp_path / name, name, errors=errors)
        promote.python_func(artifact(tmp_path / name), *shown(tmp_path), "digits", registry, keep=1)
    first, second, _ = open_registry(registry).history("digits").versions
    said = page_text(tmp_path / "page.html")
    assert f"- kept to go back to: {second}\n- files deleted of: {first}\n" in said


def test_a_model_that_fell_behind_meanwhile_fails_the_step_and_stays_a_candidate(tmp_path: Path) -> None:
    registry = str(tmp_path / "registry")
    for name, errors in (("best", 2), ("late", 20)):
        bundle(tmp_path / name, name, errors=errors)
    promote.python_func(artifact(tmp_path / "best"), *shown(tmp_path), "digits", registry)
    with pytest.raises(GateRejected, match="cannot be promoted: asked against the champion"):
        promote.python_func(artifact(tmp_path / "late"), *shown(tmp_path), "digits", registry)
    history = open_registry(registry).history("digits")
    assert [history.stage(version) for version in history.versions] == ["champion", "candidate"]


def test_a_model_that_the_gate_rejected_fails_the_step(tmp_path: Path) -> None:
    path = bundle(tmp_path / "packaged", "1")
    rejected = GateDecision(passed=False, reason="over budget", checks=[], max_wer={"a4v2": 0.5})
    rewrite(path, "gate.json", rejected.model_dump_json())
    with pytest.raises(GateRejected, match="its gate did not pass: over budget"):
        promote.python_func(
            artifact(tmp_path / "packaged"), *shown(tmp_path), "digits", str(tmp_path / "registry")
        )


def test_the_gate_compares_with_the_champion_of_the_registry(tmp_path: Path) -> None:
    registry = str(tmp_path / "registry")
    for name, errors in (("best", 2), ("worse", 20)):
        bundle(tmp_path / name, name, errors=errors)
    promote.python_func(artifact(tmp_path / "best"), *shown(tmp_path), "digits", registry)

    decided = gate.python_func(
        evaluation=artifact(tmp_path / "worse"),
        decision=artifact(tmp_path / "decision"),
        gate_report=artifact(tmp_path / "page.html"),
        corpus="digits",
        registry=registry,
        params={"max_wer": {"audio": {"a4v2": 0.5}}},
    )

    assert decided[0] is False
    assert "20.0% (19.0% to 21.0%) is worse than 2.0% (1.0% to 3.0%)" in decided[1]
    compared = (tmp_path / "decision" / "champion" / "evaluation.json").read_bytes()
    assert compared == (tmp_path / "best" / "evaluation.json").read_bytes()


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def hand_over(source: str, packaged: dsl.Output[dsl.Model], evaluation: dsl.Output[dsl.Artifact]):
    import shutil

    shutil.copytree(source, packaged.path)
    shutil.copytree(source, evaluation.path)


# Said of every image whose name does not hold "python"; no image is started here.
@pytest.mark.filterwarnings("ignore:You may be attemping to run a task:RuntimeWarning")
def test_both_steps_run_as_the_executor_runs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @dsl.pipeline
    def promote_then_judge(registry: str, source: str, budget: dict):
        made = hand_over(source=source)
        promoted = promote(
            packaged=made.outputs["packaged"],
            corpus="digits",
            registry=registry,
            run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            trained_in="mome-train@sha256:abc",
        )
        gate(evaluation=made.outputs["evaluation"], corpus="digits", registry=registry, params=budget).after(
            promoted
        )

    monkeypatch.chdir(ROOT)
    bundle(tmp_path / "source", "1")
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "runs"))
    registry = str(tmp_path / "registry")
    promote_then_judge(
        registry=registry, source=str(tmp_path / "source"), budget={"max_wer": {"audio": {"a4v2": 0.5}}}
    )

    champion = open_registry(registry).champion("digits")
    assert champion is not None
    assert champion.lineage.run
    assert "{" not in champion.lineage.run  # the placeholder was filled in
    (decision,) = tmp_path.glob("runs/*/gate/decision/gate.json")
    assert GateDecision.read(decision).passed
    assert (decision.parent / "champion" / "evaluation.json").is_file()
