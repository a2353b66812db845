"""The compiled pipelines are what Kubeflow takes, and are committed as the code makes them."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp import components
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec

from components.images import FOLDERS, image
from mome.config import Params, load_params
from pipelines.compile import COMPILED, PIPELINES, compile_pipeline

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(ROOT / "params.yaml")


def spec(name: str) -> PipelineSpec:
    return json_format.ParseDict(document(name), PipelineSpec())


def document(name: str) -> dict[str, Any]:
    """Return the pipeline; what follows it in the file is the platform's."""
    found: dict[str, Any] = next(yaml.safe_load_all((COMPILED / f"{name}.yaml").read_text()))
    return found


@pytest.mark.parametrize("name", PIPELINES)
def test_the_committed_file_is_what_the_code_compiles_to(name: str, params: Params) -> None:
    committed = (COMPILED / f"{name}.yaml").read_text()
    without_sdk = [re.sub("sdkVersion: .*", "", text) for text in (committed, compile_pipeline(name, params))]
    assert without_sdk[0] == without_sdk[1], "run `make compile`"


@pytest.mark.parametrize("name", PIPELINES)
def test_kfp_loads_the_file_and_finds_the_parameters_described(name: str) -> None:
    loaded = components.load_component_from_file(str(COMPILED / f"{name}.yaml"))
    assert loaded.name == f"mome-{name.replace('_', '-')}"
    inputs = spec(name).root.input_definitions.parameters
    assert all(value.description for value in inputs.values())


@pytest.mark.parametrize("name", PIPELINES)
def test_every_step_runs_in_an_image_of_ours_with_a_fixed_tag_and_installs_nothing(name: str) -> None:
    for executor in document(name)["deploymentSpec"]["executors"].values():
        assert executor["container"]["image"] in {image(held) for held in FOLDERS}
        assert "pip install" not in " ".join(executor["container"]["command"])


def test_compiling_all_takes_seconds(params: Params) -> None:
    started = time.process_time()
    for name in PIPELINES:
        compile_pipeline(name, params)
    assert time.process_time() - started < 5
