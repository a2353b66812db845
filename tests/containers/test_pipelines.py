"""The compiled pipelines in their images: what they leave behind, and that a failure is one."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.containers import PipelineFailed


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_training_leaves_every_artifact(place: Any, trained: Path) -> None:
    folder = trained
    assert (folder / "prepare" / "dataset" / "manifest.parquet").stat().st_size > 0
    assert read(folder / "validate" / "validation" / "validation.json")
    assert list((folder / "build-foundation" / "foundation").rglob("*.safetensors"))
    assert list((folder / "train" / "checkpoint").glob("*.safetensors"))
    assert read(folder / "evaluate" / "evaluation" / "evaluation.json")
    assert read(folder / "gate" / "decision" / "gate.json")["passed"]
    packaged = folder / "package" / "packaged"
    assert (packaged / "bento" / "bento.yaml").is_file()
    assert (packaged / "bundle" / "gate.json").is_file()
    rehearsal = read(folder / "rehearse" / "rehearsal" / "rehearsal.json")
    assert rehearsal["requests"] == {"sent": 18, "answered": 18, "lost": 0}
    assert list((place.root / "registry").rglob("gate.json")), "nothing was promoted"
    # Nobody but the images' own user wrote.
    assert {path.stat().st_uid for path in (packaged / "bundle").rglob("*")} == {1000}


def test_a_model_beyond_the_budget_turns_the_run_red(place: Any, trained: Path) -> None:
    promoted = sorted((place.root / "registry").rglob("gate.json"))
    runs = set(place.root.iterdir())
    with pytest.raises(PipelineFailed, match=r"^budget of a4v2: .* 0\.0% allowed"):
        place.train(**{"gate.max_wer": {"av": dict.fromkeys(("a4v2", "a4v5", "a16v2", "a16v5"), 0.0)}})
    (failed,) = set(place.root.iterdir()) - runs
    assert not read(failed / "gate" / "decision" / "gate.json")["passed"]
    assert (failed / "gate" / "gate_report").stat().st_size > 0
    assert not (failed / "package").exists()
    assert sorted((place.root / "registry").rglob("gate.json")) == promoted


def test_monitoring_publishes_a_scale_and_asks_for_retraining_when_none_fits(
    place: Any, monitored: Path
) -> None:
    state = place.root / "state"
    assert read(state / "scale.json")["scale"]
    assert len((state / "decisions.jsonl").read_text().splitlines()) == 1
    assert read(state / "retrain.json")
    assert read(monitored / "check-drift" / "executor_output.json")["parameterValues"]["retrain"] is True
    asked = read(monitored / "request-retraining" / "executor_output.json")["parameterValues"]["train"]
    assert asked["noise_snrs_db"]


def test_a_bundle_that_is_not_there_turns_the_look_red(place: Any, trained: Path) -> None:
    with pytest.raises(PipelineFailed, match="nowhere"):
        place.run(
            "monitoring",
            bundle=str(place.root / "nowhere"),
            requests=str(place.root / "requests"),
            state=str(place.root / "other-state"),
        )
