"""Each step as a function: what it leaves on good input, and what it says on bad input."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from components import catalogue as steps
from data.version import CorpusRevision
from mome.errors import ConfigError, CorpusError, GateRejected, RevisionError
from mome.records import Evaluation, GateDecision
from mome.speech.shards import read_manifest
from mome.speech.usable import read_set_aside
from mome.webhook import NOTIFY_URL
from tests.page_text import page_text
from tests.planted import evaluation, table

Maker = Callable[..., Any]
Sections = dict[str, dict[str, Any]]


@pytest.fixture
def dataset(artifact: Maker, revision: CorpusRevision, sections: Sections) -> Any:
    """Return what step ``prepare`` made of the good corpus."""
    made = artifact(dsl.Dataset, "dataset")
    steps.prepare.python_func(
        made, artifact(dsl.HTML, "prepared"), revision.repo, revision.revision, sections["prepare"]
    )
    return made


def judged(evaluated: Path, artifact: Maker, registry: Path, params: dict[str, Any]) -> tuple[Any, ...]:
    """Run step ``gate``; returns its outputs, and what it says of the model."""
    outputs = (
        artifact(dsl.Artifact, "decision"),
        artifact(dsl.HTML, "gate_report"),
    )
    said = steps.gate.python_func(
        artifact(dsl.Artifact, "evaluation", evaluated), *outputs, "planted", str(registry), params
    )
    return (*outputs, said)


def evaluated(folder: Path, errors: int) -> Path:
    """Write an evaluation with this many errors in a hundred words at every scale."""
    scales = ("a4v2", "a4v5", "a16v2", "a16v5")
    evaluation({"av": table({scale: {"clean": errors} for scale in scales})}).write(
        folder / "evaluation.json"
    )
    return folder


def test_configure_hands_on_every_section_in_its_place_and_says_what_differs(
    artifact: Maker, sections: Sections
) -> None:
    page = artifact(dsl.HTML, "configured_page")
    # As a form hands them over: whole numbers are floats.
    changes = {"train.steps": 7, "rehearse.requests_per_phase": 3.0}
    *found, files = steps.configure.python_func(page, changes, "params.yaml", sections, {})
    usual = sections["train"]["steps"], sections["rehearse"]["requests_per_phase"]
    names = [
        name for name in steps.configure.component_spec.outputs if name not in ("parameters_report", "files")
    ]
    changed = {"train": {"steps": 7}, "rehearse": {"requests_per_phase": 3}}
    expected = {name: section | changed.get(name, {}) for name, section in sections.items()}
    assert dict(zip(names, found, strict=True)) == expected
    rows = [line for line in page_text(Path(page.path)).splitlines() if line.startswith("| ")]
    assert rows == [
        "| parameter | params.yaml | this run | given in |",
        f"| train.steps | {usual[0]} | 7 | changes |",
        f"| rehearse.requests_per_phase | {usual[1]} | 3 | changes |",
    ]
    assert "2 values differ" in Path(page.path).read_text()
    assert files == "none", "embedded models and the corpus' own noise are no files"


def test_configure_refuses_a_number_that_is_text(artifact: Maker, sections: Sections) -> None:
    page = artifact(dsl.HTML, "h")
    with pytest.raises(ConfigError, match=r"train\.steps: .* got '200'; correct it in the run's parameters"):
        steps.configure.python_func(page, {"train.steps": "200"}, "params.yaml", sections, {})


def test_configure_refuses_what_the_cluster_or_a_volume_does_not_have(
    artifact: Maker, sections: Sections
) -> None:
    page = artifact(dsl.HTML, "h")
    with pytest.raises(ConfigError, match=r"train\.device is cuda .* but steps\.train\.gpu\.count is 0"):
        steps.configure.python_func(
            page, {"train.device": "cuda"}, "params.yaml", sections, {"train": 0.0, "evaluate": 0.0}
        )
    with pytest.raises(ConfigError, match=r"evaluate\.device is cuda .* steps\.evaluate\.gpu\.count is 0"):
        steps.configure.python_func(page, {}, "lrs3-1b", sections, {"train": 1.0, "evaluate": 0.0})
    with pytest.raises(ConfigError, match=r"foundation\.video is nothing\.pt: .* is its volume mounted\?"):
        steps.configure.python_func(page, {"foundation.video": "nothing.pt"}, "params.yaml", sections, {})


def test_prepare_leaves_the_dataset_its_figures_and_a_page(dataset: Any, artifact: Maker) -> None:
    assert len(read_manifest(Path(dataset.path))) == 6
    about = dataset.metadata
    assert (about["utterances_train"], about["unusable"], about["corpus"]) == (4, 0, "calls")
    assert about["revision"] == json.loads((Path(dataset.path) / "corpus.json").read_text())["revision"]
    said = page_text(Path(artifact(dsl.HTML, "prepared").path))
    assert "| train | 4 | 4 |" in said
    assert "all 6 recordings" in said


def test_prepare_refuses_an_unknown_revision(
    artifact: Maker, revision: CorpusRevision, sections: Sections
) -> None:
    outputs = artifact(dsl.Dataset, "d"), artifact(dsl.HTML, "h")
    with pytest.raises(RevisionError, match="unknown revision 'v9'; expected a git commit, tag or branch"):
        steps.prepare.python_func(*outputs, revision.repo, "v9", sections["prepare"])


def test_version_corpus_hands_on_a_commit_and_says_whether_it_is_new(
    artifact: Maker, good_corpus: Path, tmp_path: Path, sections: Sections
) -> None:
    page = artifact(dsl.HTML, "h")
    given = str(good_corpus), str(tmp_path / "registry"), sections["prepare"]
    for said in ("new", "unchanged"):
        name, repo, revision = steps.version_corpus.python_func(page, *given)
        assert (name, repo) == ("calls", str(tmp_path / "registry" / "corpora"))
        assert f"commit: {revision}" in page_text(Path(page.path))
        assert f"**{said}**" in page_text(Path(page.path))


def test_version_corpus_says_what_to_do_about_a_remote_that_is_away(
    artifact: Maker, tmp_path: Path, sections: Sections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.version.WAITS_S", (0.1,))
    page = artifact(dsl.HTML, "h")
    with pytest.raises(RevisionError, match="Connection refused: check the address"):
        steps.version_corpus.python_func(
            page, "http://127.0.0.1:9/speech.git@v1", str(tmp_path), sections["prepare"]
        )


def test_version_corpus_wants_a_folder_for_a_corpus_that_it_has_to_store(
    artifact: Maker, sections: Sections
) -> None:
    page = artifact(dsl.HTML, "h")
    with pytest.raises(RevisionError, match="needs a folder as registry"):
        steps.version_corpus.python_func(page, "embedded", "s3://bucket/registry", sections["prepare"])


def test_shards_are_planned_prepared_and_collected(
    artifact: Maker, revision: CorpusRevision, dataset: Any, tmp_path: Path, sections: Sections
) -> None:
    pieces = steps.plan_shards.python_func(revision.repo, revision.revision)
    parts = [artifact(dsl.Dataset, f"part{number}") for number in range(len(pieces))]
    for part, piece in zip(parts, pieces, strict=True):
        steps.prepare_shard.python_func(part, piece, sections["prepare"])
    collected = artifact(dsl.Dataset, "collected")
    outputs = collected, artifact(dsl.HTML, "collected_page")
    steps.collect_shards.python_func(parts, *outputs, revision.repo, revision.revision)
    names = [row.utterance_id for row in read_manifest(Path(dataset.path))]
    assert [row.utterance_id for row in read_manifest(Path(collected.path))] == names
    # What is shown does not depend on the way that the recordings were prepared.
    assert collected.metadata == dataset.metadata
    whole = Path(artifact(dsl.HTML, "prepared").path).read_text()
    assert Path(outputs[1].path).read_text() == whole
    with pytest.raises(CorpusError, match="run the step prepare_shard again"):
        steps.collect_shards.python_func(parts[1:], *outputs, revision.repo, revision.revision)


def test_validate_leaves_its_report_whatever_the_verdict(
    dataset: Any, artifact: Maker, sections: Sections
) -> None:
    def run(params: dict[str, Any]) -> tuple[bool, str]:
        return steps.validate.python_func(dataset, *outputs, params)

    outputs = (
        artifact(dsl.Metrics, "validation"),
        artifact(dsl.HTML, "report"),
    )
    validation, report = outputs
    assert run(sections["validate"]) == (True, "corpus calls: all 15 critical expectations hold")
    assert validation.metadata["utterances_train"] == 4
    assert read_set_aside(Path(validation.path)) == []
    passed, reason = run(sections["validate"] | {"min_utterances": {"train": 5}})
    assert not passed
    assert "enough_train" in reason
    assert "1 critical expectation not met" in Path(report.path).read_text()


def test_a_section_of_the_wrong_type_is_named_by_the_step_that_reads_it(
    dataset: Any, artifact: Maker, sections: Sections
) -> None:
    outputs = [artifact(kind, kind.__name__) for kind in (dsl.Metrics, dsl.HTML)]
    with pytest.raises(ConfigError, match=r"ValidateParams: min_fps: .* got '20'"):
        steps.validate.python_func(dataset, *outputs, sections["validate"] | {"min_fps": "20"})


def test_gate_passes_a_model_within_its_budget(
    artifact: Maker, tmp_path: Path, sections: Sections, capsys: pytest.CaptureFixture[str]
) -> None:
    decision, report, (passed, reason) = judged(
        evaluated(tmp_path / "e", 1), artifact, tmp_path / "registry", sections["gate"]
    )
    assert passed
    assert reason == "all 5 checks hold"
    assert GateDecision.read(Path(decision.path) / "gate.json").passed
    assert "champion" in Path(report.path).read_text()
    assert decision.metadata == {"passed": True, "reason": reason}
    # What CI reads in the log.
    lines = capsys.readouterr().out.splitlines()
    assert Evaluation.model_validate_json(lines[-2]).corpus == "planted"
    assert GateDecision.model_validate_json(lines[-1]).passed


def test_gate_ends_well_on_a_no_and_require_ends_the_run(
    artifact: Maker, tmp_path: Path, sections: Sections
) -> None:
    _, report, (passed, reason) = judged(
        evaluated(tmp_path / "e", 90), artifact, tmp_path / "registry", sections["gate"]
    )
    assert not passed
    assert "rejected" in Path(report.path).read_text()
    with pytest.raises(GateRejected, match=r"budget of a4v2: 90\.0% of words wrong .* \(and 3 more\); train"):
        steps.require.python_func("gate", passed, reason)


def test_gate_shows_a_table_that_is_damaged_as_a_no(
    artifact: Maker, tmp_path: Path, sections: Sections
) -> None:
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "evaluation.json").write_text('{"corpus": NaN}')
    _, report, (passed, reason) = judged(tmp_path / "e", artifact, tmp_path / "registry", sections["gate"])
    assert not passed
    assert reason.startswith("word error table")
    assert "rejected" in Path(report.path).read_text()


def test_notify_without_an_address_ends_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(NOTIFY_URL, raising=False)
    status = dsl.PipelineTaskFinalStatus("FAILED", "", "run", None, "the gate said no")
    steps.notify.python_func(status, "mome-training", "nightly", "1f2e", False)
    said = capsys.readouterr().out
    assert "run nightly FAILED\nthe gate said no" in said
    assert "nobody was told" in said


def test_a_run_that_recurs_is_called_by_its_workflow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The server gives such a run no name; its pages call it as its workflow is called.
    monkeypatch.delenv(NOTIFY_URL, raising=False)
    workflow = "mome-monitoringxcrwf-1-1544507958"
    status = dsl.PipelineTaskFinalStatus("FAILED", workflow, "run", None, None)
    steps.notify.python_func(status, "mome-monitoring", "", "1f2e", True)
    assert f"run {workflow} FAILED" in capsys.readouterr().out
