"""Every attempt has its time, every retry its turn, and a run that only waits comes to an end."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import PlatformSpec

from mome.errors import ConfigError
from pipelines.cluster import CLUSTER_FILE
from pipelines.compile import COMPILED, PIPELINES
from pipelines.deadlines import end_after, longest_s

QUEUE_S = 3600  # that an attempt may wait for its node without losing any of its time


@pytest.fixture(scope="module")
def for_gpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the pipelines of a papers' profile, compiled for a cluster with GPUs."""
    folder = tmp_path_factory.mktemp("for_gpus")
    command = [sys.executable, "-m", "pipelines.compile", "--output", str(folder), "--profile", "lrs3-1b"]
    environment = os.environ | {"MOME_CLUSTER": str(CLUSTER_FILE.with_name("cluster-gpu.yaml"))}
    subprocess.run([*command, "--allow-tags"], env=environment, check=True, capture_output=True)
    return folder


@pytest.fixture(params=[(name, gpus) for gpus in (False, True) for name in PIPELINES], ids=str)
def documents(request: pytest.FixtureRequest, for_gpus: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what Kubeflow is told of one compiled file after the other, and what Kubernetes is told."""
    name, gpus = request.param
    spec, platform = yaml.safe_load_all(((for_gpus if gpus else COMPILED) / f"{name}.yaml").read_text())
    return spec, platform


def tasks(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield name, task and executor of every task, those of loops and conditions too."""
    for component in (spec["root"], *spec["components"].values()):
        for name, task in component.get("dag", {}).get("tasks", {}).items():
            called = spec["components"][task["componentRef"]["name"]]
            if "executorLabel" in called:
                yield name, task, called["executorLabel"]


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text.removesuffix("s"))


def test_the_last_retry_of_every_step_still_has_all_of_its_time(
    documents: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    spec, platform = documents
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    found = 0
    for name, task, executor in tasks(spec):
        found += 1
        policy = task["retryPolicy"]
        deadline = int(settings[executor]["activeDeadlineSeconds"])
        # As Argo goes through it: the window opens with the first attempt.
        elapsed, pause = 0.0, float(seconds(policy["backoffDuration"]))
        for _ in range(policy["maxRetryCount"]):
            elapsed += QUEUE_S + deadline + pause
            pause *= policy["backoffFactor"]
        assert seconds(policy["backoffMaxDuration"]) >= elapsed + QUEUE_S + deadline, name
    assert found == len(settings)


def test_a_run_that_waits_for_ever_ends_and_one_that_works_does_not(
    documents: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    spec, platform = documents
    # As the server reads it: an unknown field is an error.
    read = json_format.ParseDict(platform, PlatformSpec()).platforms["kubernetes"]
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    working = sum(int(settings[executor]["activeDeadlineSeconds"]) for _, _, executor in tasks(spec))
    assert longest_s(spec, platform) == working
    assert working <= read.pipelineConfig.active_deadline_seconds <= 14 * 86400


def test_a_run_that_is_ended_before_its_steps_can_be_through_is_refused(
    documents: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    spec, platform = documents
    needed = longest_s(spec, platform)
    end_after(needed, spec, platform)
    with pytest.raises(ConfigError, match=rf"ended after {needed - 1} s, .* add up to {needed} s"):
        end_after(needed - 1, spec, platform)
