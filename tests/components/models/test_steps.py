"""The steps between foundation and package as functions: what each leaves, and what it says of bad input."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from components import catalogue as steps
from mome.bundle import read_bundle
from mome.config import TrainParams, load_params
from mome.errors import BundleError, CheckpointError, ConfigError, CorpusError
from mome.records import Evaluation
from mome.speech.shards import write_manifest
from mome.speech.usable import write_set_aside

SECTIONS = load_params().sections()
EVALUATE = SECTIONS["evaluate"] | {"snrs_db": ["clean", 0], "bootstrap_samples": 20, "max_new_tokens": 4}


def made(folder: Path, kind: type[dsl.Artifact], name: str) -> Any:
    """Return an artifact as a step receives it."""
    artifact = kind(name=name, uri=name)
    artifact.path = str(folder / name)
    folder.mkdir(parents=True, exist_ok=True)
    return artifact


def page(folder: Path) -> Any:
    return made(folder, dsl.HTML, "page")


def given(path: Path) -> Any:
    return made(path.parent, dsl.Model, path.name)


def nothing(folder: Path) -> Any:
    """Return what validation writes if it sets nothing aside."""
    none = made(folder, dsl.Metrics, "validation")
    write_set_aside([], Path(none.path))
    return none


@pytest.fixture(scope="module")
def checkpoint(
    dataset: Path, foundation: Path, train_params: TrainParams, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOME_WORK_DIR", str(folder / "work"))
        steps.train.python_func(
            given(dataset),
            nothing(folder),
            given(foundation),
            made(folder, dsl.Model, "checkpoint"),
            page(folder),
            train_params.model_dump(mode="json"),
        )
    return folder / "checkpoint"


@pytest.fixture(scope="module")
def evaluated(
    dataset: Path, foundation: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("evaluated")
    evaluation = made(folder, dsl.Metrics, "evaluation")
    steps.evaluate.python_func(
        given(dataset),
        nothing(folder),
        given(foundation),
        given(checkpoint),
        evaluation,
        page(folder),
        EVALUATE,
    )
    (folder / "metadata.json").write_text(json.dumps(evaluation.metadata))
    return folder


def test_build_foundation_takes_models_out_of_folders(foundation: Path, tmp_path: Path) -> None:
    taken = {part: str(foundation / part) for part in ("audio", "video", "llm")}
    outputs = made(tmp_path, dsl.Model, "taken"), page(tmp_path)
    steps.build_foundation.python_func(*outputs, SECTIONS["foundation"] | taken)
    for part in taken:
        assert (tmp_path / "taken" / part / "model.safetensors").is_file()
    for part, source in taken.items():
        assert source in (tmp_path / "page").read_text(), part
        assert outputs[0].metadata[part] == source


@pytest.mark.parametrize(
    ("part", "source", "error", "said"),
    [
        ("llm", "meta-llama/Llama-3.2-1B", ConfigError, "with its revision: name@revision"),
        ("video", "large_vox_iter5.pt", CheckpointError, r"is its volume mounted\?"),
        ("audio", "/models/whisper", CheckpointError, r"is its volume mounted\?"),
        ("utterances", "1400", ConfigError, r"FoundationParams: utterances: .* got '1400'"),
    ],
)
def test_build_foundation_refuses_what_it_cannot_take(
    part: str, source: str, error: type[Exception], said: str, tmp_path: Path
) -> None:
    outputs = made(tmp_path, dsl.Model, "taken"), page(tmp_path)
    with pytest.raises(error, match=said):
        steps.build_foundation.python_func(*outputs, SECTIONS["foundation"] | {part: source})
    assert not (tmp_path / "taken").exists()


def test_evaluate_leaves_the_table_its_figures_and_a_page(evaluated: Path) -> None:
    found = Evaluation.read(evaluated / "evaluation" / "evaluation.json")
    assert set(found.wer) == {"av", "audio", "video"}
    figures = json.loads((evaluated / "metadata.json").read_text())
    assert figures["wer_a4v2_clean"] == pytest.approx(found.wer["av"]["a4v2"]["clean"].rate)
    assert "a4v2" in (evaluated / "page").read_text()


def test_evaluate_refuses_a_dataset_without_test_clips_and_a_foreign_checkpoint(
    dataset: Path, foundation: Path, checkpoint: Path, tmp_path: Path
) -> None:
    outputs = made(tmp_path, dsl.Artifact, "evaluation"), page(tmp_path)
    none = nothing(tmp_path)
    write_manifest(tmp_path / "empty", [])
    shutil.copyfile(dataset / "corpus.json", tmp_path / "empty" / "corpus.json")
    with pytest.raises(CorpusError, match="the test split is empty"):
        steps.evaluate.python_func(
            given(tmp_path / "empty"), none, given(foundation), given(checkpoint), *outputs, EVALUATE
        )
    with pytest.raises(CheckpointError):
        steps.evaluate.python_func(
            given(dataset), none, given(foundation), given(tmp_path / "empty"), *outputs, EVALUATE
        )
    with pytest.raises(ConfigError, match=r"EvaluateParams: device: .* got 'gpu'"):
        steps.evaluate.python_func(
            given(dataset), none, given(foundation), given(checkpoint), *outputs, EVALUATE | {"device": "gpu"}
        )
    assert not (tmp_path / "evaluation").exists()


@pytest.fixture(scope="module")
def package(
    foundation: Path, checkpoint: Path, evaluated: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Return a packing of the model after a gate of one's own; the Bento is left to tests/serving."""
    folder = tmp_path_factory.mktemp("packaged")

    def pack(max_wer: float, params: dict[str, Any]) -> Path:
        budget = {"max_wer": {"av": dict.fromkeys(SECTIONS["train"]["scales"], max_wer)}}
        evaluation, decision = given(evaluated / "evaluation"), made(folder, dsl.Artifact, "decision")
        outputs = decision, page(folder)
        steps.gate.python_func(evaluation, *outputs, "tiny", str(folder / "registry"), budget)
        output = made(folder, dsl.Model, "packaged")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("serving.package._build", _planted_build)
            steps.package.python_func(
                given(foundation),
                given(checkpoint),
                evaluation,
                decision,
                output,
                page(folder),
                params,
                SECTIONS["monitor"],
            )
        return folder

    return pack


def _planted_build(_bundle: Any, _project: Path, home: Path) -> Path:
    (home / "src").mkdir(parents=True)
    return home


def test_package_leaves_a_bundle_and_a_page(package: Callable[..., Path]) -> None:
    folder = package(100.0, SECTIONS["package"])
    bundle = read_bundle(folder / "packaged" / "bundle")
    assert (bundle.name, str(bundle.default_scale)) == ("mome", "a16v5")
    assert bundle.promise is not None
    assert bundle.promise.max_wer == SECTIONS["monitor"]["max_wer"]
    assert (folder / "packaged" / "bento").is_dir()
    assert bundle.version in (folder / "page").read_text()


def test_package_refuses_a_model_that_the_gate_rejected_and_a_scale_that_is_none(
    package: Callable[..., Path],
) -> None:
    with pytest.raises(BundleError, match="gate"):
        package(0.0, SECTIONS["package"])
    with pytest.raises(ConfigError, match="PackageParams: default_scale: "):
        package(100.0, SECTIONS["package"] | {"default_scale": "fine"})
