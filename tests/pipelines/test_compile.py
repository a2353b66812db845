"""The compiled pipelines are what Kubeflow takes, and are committed as the code makes them."""

import json
import os
import re
import subprocess
import sys
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


@pytest.mark.parametrize("name", PIPELINES)
def test_the_first_line_of_a_committed_file_says_whether_a_cluster_can_run_it(name: str) -> None:
    first = (COMPILED / f"{name}.yaml").read_text().splitlines()[0]
    executors = document(name)["deploymentSpec"]["executors"].values()
    images = {executor["container"]["image"] for executor in executors}
    # As a node reads a name: without a dot or a port before the first slash it is no host.
    placed = all("@sha256:" in each and "." in each.partition("/")[0] for each in images)
    assert first.startswith("# For a cluster: " if placed else "# NOT FOR A CLUSTER: ")


def compiling(folder: Path, lock: dict[str, str], *options: str, **variables: str) -> tuple[int, str, str]:
    """Run the command with a lock of its own; return its exit code, its error, and a file's first line."""
    (folder / "lock.json").write_text(json.dumps(lock))
    code = (
        "import sys, runpy; from pathlib import Path; from components import images; "
        f"images.LOCK = Path({str(folder / 'lock.json')!r}); "
        "runpy.run_module('pipelines.compile', run_name='__main__')"
    )
    command = [sys.executable, "-c", code, "--output", str(folder / "out"), *options]
    environment = os.environ | variables
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    written = folder / "out" / "training.yaml"
    return done.returncode, done.stderr, written.read_text().splitlines()[0] if written.exists() else ""


def test_for_a_cluster_images_without_a_digest_are_refused_in_one_sentence(tmp_path: Path) -> None:
    code, said, first = compiling(tmp_path, {}, MOME_IMAGE_REGISTRY="registry.example/team")
    assert (code, first) == (1, "")
    assert said.count("\n") == 1
    assert said.startswith("error: MOME_IMAGE_REGISTRY is set, so this is for a cluster, but ")
    assert "registry.example/team/mome-train:" in said
    assert "--allow-tags" in said


def test_for_a_trial_tags_can_be_allowed_and_the_file_says_so(tmp_path: Path) -> None:
    code, said, first = compiling(tmp_path, {}, "--allow-tags", MOME_IMAGE_REGISTRY="registry.example/team")
    assert code == 0, said
    assert first.startswith("# NOT FOR A CLUSTER: ")


def test_with_a_registry_and_digests_the_files_are_for_a_cluster(tmp_path: Path) -> None:
    digests = {name: f"sha256:{number:064x}" for number, name in enumerate(FOLDERS)}
    code, said, first = compiling(tmp_path, digests, MOME_IMAGE_REGISTRY="registry.example/team")
    assert code == 0, said
    assert first.startswith("# For a cluster: ")
