"""The compiled pipelines are what Kubeflow takes, and are committed as the code makes them."""

import re
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp import components
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from components.images import FOLDERS
from mome import __version__
from mome.config import Params, load_params
from pipelines.compile import COMPILED, PIPELINES, compile_pipeline

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(ROOT / "params.yaml")


def spec(name: str) -> PipelineSpec:
    return json_format.ParseDict(yaml.safe_load((COMPILED / f"{name}.yaml").read_text()), PipelineSpec())


@pytest.mark.parametrize("name", PIPELINES)
def test_the_committed_file_is_what_the_code_compiles_to(name: str, params: Params) -> None:
    committed = (COMPILED / f"{name}.yaml").read_text()
    without_sdk = [re.sub("sdkVersion: .*", "", text) for text in (committed, compile_pipeline(name, params))]
    assert without_sdk[0] == without_sdk[1], "run `make compile`"


@pytest.mark.parametrize("name", PIPELINES)
def test_kfp_loads_the_file_and_finds_the_parameters_described(name: str) -> None:
    loaded = components.load_component_from_file(str(COMPILED / f"{name}.yaml"))
    assert loaded.name == f"mome-{name}"
    inputs = spec(name).root.input_definitions.parameters
    assert all(value.description for value in inputs.values())


@pytest.mark.parametrize("name", PIPELINES)
def test_every_step_runs_in_an_image_of_ours_with_a_fixed_tag_and_installs_nothing(name: str) -> None:
    executors = yaml.safe_load((COMPILED / f"{name}.yaml").read_text())["deploymentSpec"]["executors"]
    for executor in executors.values():
        assert executor["container"]["image"] in {f"mome-{image}:{__version__}" for image in FOLDERS}
        assert "pip install" not in " ".join(executor["container"]["command"])


def test_the_steps_follow_the_way_of_the_data() -> None:
    tasks = spec("training").root.dag.tasks
    order = [
        "version-corpus",
        "prepare",
        "validate",
        "build-foundation",
        "train",
        "evaluate",
        "gate",
        "package",
    ]
    order += ["rehearse", "promote"]
    assert set(tasks) == set(order)
    for task, earlier in zip(order[1:], order, strict=False):
        assert earlier in tasks[task].dependent_tasks, f"{task} does not wait for {earlier}"


def test_what_looks_at_a_changing_world_is_never_reused() -> None:
    uncached = {
        name
        for name, task in spec("training").root.dag.tasks.items()
        if not task.caching_options.enable_cache
    }
    assert uncached == {"version-corpus", "gate", "promote"}
    assert not any(task.caching_options.enable_cache for task in spec("monitoring").root.dag.tasks.values())


def test_the_defaults_of_the_form_are_the_numbers_of_the_experiment(params: Params) -> None:
    inputs = spec("training").root.input_definitions.parameters
    defaults = {name: json_format.MessageToDict(value.default_value) for name, value in inputs.items()}
    assert {name: defaults[name] for name in params.sections()} == params.sections()
