"""Steps as kfp.local runs them: processes of their own, artifacts in between, a red run that can be read."""

import json
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from components import catalogue as steps
from mome.speech.shards import read_manifest
from tests.components.conftest import write_corpus


@dsl.pipeline(name="data-only")
def data_only(
    changes: dict[str, Any],
    sections: dict[str, Any],
    validate: dict[str, Any],
    corpus: str,
    registry: str,
) -> None:
    versioned = steps.version_corpus(corpus=corpus, registry=registry, params=sections)
    prepared = steps.prepare(
        repo=versioned.outputs["repo"], revision=versioned.outputs["revision"], params=sections
    )
    validated = steps.validate(dataset=prepared.outputs["dataset"], params=validate)
    steps.require(stage="validate", passed=validated.outputs["passed"], reason=validated.outputs["reason"])


@dsl.pipeline(name="sharded")
def sharded(corpus: str, registry: str, params: dict[str, Any]) -> None:
    versioned = steps.version_corpus(corpus=corpus, registry=registry, params=params)
    repo, revision = versioned.outputs["repo"], versioned.outputs["revision"]
    planned = steps.plan_shards(repo=repo, revision=revision)
    with dsl.ParallelFor(planned.output, parallelism=2) as piece:
        prepared = steps.prepare_shard(piece=piece, params=params)
    steps.collect_shards(parts=dsl.Collected(prepared.outputs["part"]), repo=repo, revision=revision)


def outputs(root: Path, step: str) -> Path:
    (folder,) = root.glob(f"*/{step}")
    return folder


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Any:
    def read() -> str:
        out, err = capfd.readouterr()
        return out + err + caplog.text

    return read


@pytest.mark.filterwarnings("ignore:You may be attemping to run a task:RuntimeWarning")
@pytest.mark.parametrize("silent", [False, True])
def test_a_corpus_goes_through_or_stops_with_its_report(
    silent: bool, local_run: Path, tmp_path: Path, sections: dict[str, dict[str, Any]], said: Any
) -> None:
    corpus = write_corpus(tmp_path / "talk", silent=silent)
    data_only(
        changes={},
        sections=sections["prepare"],
        validate=sections["validate"],
        corpus=str(corpus),
        registry=str(tmp_path / "registry"),
    )
    # Files, not the run's word for it.
    folder = outputs(local_run, "validate")
    report = json.loads((folder / "validation" / "validation.json").read_text())
    assert report["passed"] is not silent
    assert "<h1>Validation of talk</h1>" in (folder / "validation_report").read_text()
    assert report["utterances"]["train"] == 4
    log = said()
    assert ("ValidationFailed: corpus talk: 3 of 15 critical expectations fail: not_silent" in log) is silent
    assert ("the whole report is shown by step validate" in log) is silent


@pytest.mark.filterwarnings("ignore:You may be attemping to run a task:RuntimeWarning")
def test_shards_are_prepared_side_by_side_and_collected(
    local_run: Path, tmp_path: Path, good_corpus: Path, sections: dict[str, dict[str, Any]]
) -> None:
    sharded(corpus=str(good_corpus), registry=str(tmp_path / "registry"), params=sections["prepare"])
    folder = outputs(local_run, "collect-shards")
    names = sorted(path.name for path in (folder / "dataset" / "shards").iterdir())
    assert len(names) == len(list(local_run.glob("*/for-loop-*-iteration-*"))) >= 3
    assert len([row for row in read_manifest(folder / "dataset") if row.split == "train"]) == 4


@pytest.mark.filterwarnings("ignore:You may be attemping to run a task:RuntimeWarning")
def test_a_number_that_is_text_ends_the_run_in_its_first_step(
    local_run: Path, sections: dict[str, dict[str, Any]], said: Any
) -> None:
    steps.configure(changes={"train.steps": "200"}, profile="params.yaml", defaults=sections, gpus={})
    assert "train.steps: input should be a valid integer, got '200'; correct it in the run's" in said()
    assert not list(local_run.glob("*/configure/executor_output.json"))
