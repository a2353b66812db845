"""A TrainJob is asked for as the step was set up, followed to its end, and its failure is explained."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from kfp import dsl
from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob
from safetensors.torch import load_file

from components.train_distributed.component import train_distributed
from components.train_distributed.job import train_on_nodes
from components.train_distributed.layout import Layout
from mome.config import TrainParams
from mome.errors import ConfigError, Stopped, TrainingError
from mome.speech.usable import write_set_aside
from mome.training.launch import launch
from tests.components.train_distributed.planted import JOBS, Cluster, condition, ended, pod, waiting

LAYOUT = Layout(
    nodes=2, processes=1, image="registry.example/mome-train@sha256:0", runtime="torch-distributed",
    shm="1Gi", pull_secrets=["registry-login"], timeout_s=600,
)  # fmt: skip
Start = Callable[..., None]


def config(work: Path, **changes: Any) -> dsl.TaskConfig:
    given: dict[str, Any] = {
        "resources": {"limits": {"cpu": "4", "memory": "8Gi"}, "requests": {"cpu": "2"}},
        "env": [
            {"name": "PLAIN", "value": "yes"},
            {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}},
        ],
        "volumes": [{"name": "work", "persistentVolumeClaim": {"claimName": "work"}}],
        "volume_mounts": [{"name": "work", "mountPath": str(work)}],
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "node_selector": {"pool": "gpu"},
    }
    return dsl.TaskConfig(**given | changes)


@pytest.fixture
def start(train_params: TrainParams, dataset: Path, foundation: Path, tmp_path: Path) -> Start:
    """Start the step's work on the planted cluster."""

    def starter(*, params: TrainParams = train_params, layout: Layout = LAYOUT, **changes: Any) -> None:
        work = tmp_path / "work"
        train_on_nodes(
            params, layout, config(work, **changes), dataset, foundation, tmp_path / "checkpoint", work
        )

    return starter


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.relative_to(checkpoint)}/{name}": tensor
        for path in sorted(checkpoint.rglob("*.safetensors"))
        for name, tensor in load_file(path).items()
    }


def test_two_nodes_end_with_the_weights_of_one_and_leave_nothing_behind(
    cluster: Cluster,
    train_params: TrainParams,
    dataset: Path,
    foundation: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # Balance is the product of two means over a pass, so its part does depend on who reads what.
    # One thread: on a busy machine two wait for each other longer than so little work takes.
    same = {"load_balancing_weight": 0.0, "precision": "float32", "threads": 1}
    # With every expert kept, no token goes elsewhere because of the last digit of a score.
    same |= {"num_experts": 4, "top_k": 4}
    params = train_params.model_copy(update=same)
    cluster.runs_nodes = True
    monkeypatch.setenv("MOME_WORK_DIR", str(tmp_path / "work"))
    write_set_aside([], tmp_path / "validation")
    train_distributed.python_func(
        dataset=dsl.Dataset(uri=str(dataset)),
        validation=dsl.Metrics(uri=str(tmp_path / "validation")),
        foundation=dsl.Model(uri=str(foundation)),
        checkpoint=dsl.Model(uri=str(tmp_path / "two")),
        params=params.model_dump(mode="json"),
        # As a protobuf Struct hands it over: every number is a float.
        layout={**LAYOUT.model_dump(), "nodes": 2.0, "processes": 1.0, "timeout_s": 600.0},
        config=config(tmp_path / "work"),
        training_report=dsl.HTML(uri=str(tmp_path / "page")),
    )
    said = capfd.readouterr().out
    assert "2 nodes with 1 processes each" in said
    assert "HF_TOKEN" in said
    launch(params, dataset, foundation, tmp_path / "one", tmp_path / "work-one")
    two, one = weights(tmp_path / "two"), weights(tmp_path / "one")
    assert two.keys() == one.keys()
    for name, expected in one.items():
        # Adam turns rounding of a gradient near zero into a part of a step, which is 2e-3 long.
        # The aligner is solved at once from features, for which rounding counts for more.
        atol = 2e-3 if name.startswith("aligner") else 2e-4
        torch.testing.assert_close(two[name], expected, atol=atol, rtol=1e-3)
    assert not cluster.jobs
    assert not list((tmp_path / "work" / "jobs").iterdir())
    assert (tmp_path / "page").stat().st_size > 1000


def test_the_job_stands_as_the_step_was_set_up(cluster: Cluster, start: Start, tmp_path: Path) -> None:
    cluster.conditions = [condition("Failed")]
    with pytest.raises(TrainingError):
        start()
    (job,) = cluster.jobs.values()
    parsed = TrainerV1alpha1TrainJob.from_dict(job).to_dict()
    assert parsed["spec"] == job["spec"], "a field that Kubeflow Trainer does not know"
    spec = job["spec"]
    assert spec["runtimeRef"] == {"kind": "ClusterTrainingRuntime", "name": "torch-distributed"}
    assert spec["activeDeadlineSeconds"] == 600
    trainer = spec["trainer"]
    assert (trainer["image"], trainer["numNodes"]) == (LAYOUT.image, 2)
    assert trainer["resourcesPerNode"]["limits"] == {"cpu": "4", "memory": "8Gi"}
    assert trainer["env"] == [{"name": "PLAIN", "value": "yes"}]
    assert trainer["command"][:5] == ["python", "-m", "mome.training.launch", "--processes", "1"]

    (replicated,) = spec["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    assert replicated["name"] == "node"
    template = replicated["template"]["spec"]["template"]
    # A mesh proxy would outlive the training.
    assert template["metadata"] == {"labels": {"sidecar.istio.io/inject": "false"}}
    nodes = template["spec"]
    given = config(tmp_path / "work")
    assert nodes["volumes"] == [
        *(given.volumes or []),
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
    ]
    assert nodes["containers"][0]["volumeMounts"] == [
        *(given.volume_mounts or []),
        {"name": "shm", "mountPath": "/dev/shm"},
    ]
    # Trainer refuses variables of a node that do not come by its own field.
    assert "env" not in nodes["containers"][0]
    assert nodes["tolerations"] == given.tolerations
    assert nodes["nodeSelector"] == given.node_selector
    assert nodes["imagePullSecrets"] == [{"name": "registry-login"}]
    assert nodes["securityContext"]["runAsUser"] == os.getuid()
    assert nodes["containers"][0]["securityContext"]["allowPrivilegeEscalation"] is False


LOST = "error: lost the connection to another process, whose log says why"


DISRUPTED = [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (
            pod(0, "Failed", f"step 1\n{LOST}\n"),
            pod(1, "Failed", "step 1\nerror: the loss is nan at step 7\n"),
            "^node-1: the loss is nan at step 7$",
        ),
        (
            pod(0, "Failed", LOST),
            pod(1, "Failed", containerStatuses=ended("OOMKilled")),
            r"^node-1 was ended for its memory: raise memory\.limit of step train, or lower train\.batch",
        ),
        (
            pod(0, "Failed", LOST),
            pod(1, "Failed", reason="Evicted", message="node was low on memory"),
            r"^node-1 was taken away \(Evicted node was low on memory\); .* goes on from its last checkpo",
        ),
        (
            pod(0, "Failed", LOST),
            pod(1, "Running", conditions=DISRUPTED),
            r"^node-1 was taken away \(PreemptionByScheduler\)",
        ),
        (pod(0, "Failed", LOST), None, "^node-0: lost the connection"),
        (None, None, "^TrainJob mome-train-.* failed: Planted as planted; "),
    ],
)
def test_a_failed_job_is_explained_by_what_came_first(
    first: dict[str, Any] | None,
    second: dict[str, Any] | None,
    expected: str,
    cluster: Cluster,
    start: Start,
) -> None:
    cluster.pods, cluster.conditions = [each for each in (first, second) if each], [condition("Failed")]
    with pytest.raises(TrainingError, match=expected):
        start()
    assert cluster.jobs, "a failed job stays, for whoever wants to look"


def test_lines_come_once_though_the_connection_is_cut(
    cluster: Cluster, start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    cluster.pods = [pod(0, "Running", "one\ntwo\n"), pod(1, "Running")]

    def goes_on(look: int) -> None:
        if look == 6:
            cluster.pods[0]["log"] += "three\n"
        if look == 9:
            cluster.conditions = [condition("Failed")]

    cluster.on_look = goes_on
    with pytest.raises(TrainingError):
        start()
    said = capfd.readouterr().out.splitlines()
    assert [said.count(line) for line in ("one", "two", "three")] == [1, 1, 1]


def test_a_log_that_is_silent_does_not_hide_the_end_of_the_job(
    cluster: Cluster,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("components.train_distributed.follow.SILENCE_S", 0.2)
    cluster.pods, cluster.is_silent = [pod(0, "Running", "one\ntwo\n")], True

    def fails(look: int) -> None:
        if look == 5:
            cluster.is_silent, cluster.conditions = False, [condition("Failed", "a node is gone")]

    cluster.on_look = fails
    with pytest.raises(TrainingError, match="a node is gone"):
        start()
    assert capfd.readouterr().out.splitlines().count("two") == 1


def test_a_job_that_wrote_elsewhere_is_not_taken_for_a_success(cluster: Cluster, start: Start) -> None:
    cluster.conditions = [condition("Complete")]
    with pytest.raises(TrainingError, match=r"is complete, but .*checkpoint is not there"):
        start()


def test_what_it_waits_for_is_said_once(
    cluster: Cluster, start: Start, capfd: pytest.CaptureFixture[str]
) -> None:
    unscheduled = {
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
    }  # fmt: skip
    cluster.pods = [pod(0, "Running"), pod(1, "Pending", conditions=[unscheduled])]

    def give_up(look: int) -> None:
        if look == 10:
            cluster.conditions = [condition("Failed", "exceeded its deadline")]

    cluster.on_look = give_up
    with pytest.raises(TrainingError, match=r"^node-1 did not start in time \(Unsched.*Insufficient nvidia"):
        start()
    said = capfd.readouterr().out
    assert said.count("waiting for 1 of 2 nodes: Unschedulable 0/3 nodes are available") == 1


def test_an_image_that_does_not_come_ends_the_waiting(
    cluster: Cluster, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.train_distributed.follow.PATIENCE", 3)
    cluster.pods = [pod(0, "Pending", containerStatuses=waiting("ImagePullBackOff", "sha256:0 not found"))]
    with pytest.raises(TrainingError, match="cannot start: 1 of 1 nodes: ImagePullBackOff sha256:0 not"):
        start()
    assert not cluster.jobs, "a job that nobody waits for would hold its nodes"


@pytest.mark.parametrize(
    ("call", "status", "expected"),
    [
        (
            f"POST {JOBS}",
            403,
            r"cannot be created: this step's service account may not do that: give it create",
        ),
        (f"POST {JOBS}", 422, r"Kubeflow Trainer refuses it \(.*spec is wrong"),
        ("GET .*/clustertrainingruntimes/.*", 404, "is Kubeflow Trainer 2.3 or newer installed"),
        (f"GET {JOBS}/.*", 401, "the token of this step's service account is not valid here"),
    ],
)
def test_what_the_api_refuses_says_who_can_mend_it(
    call: str, status: int, expected: str, cluster: Cluster, start: Start
) -> None:
    cluster.refuse = {call: (status, "spec is wrong")}
    with pytest.raises(TrainingError, match=expected):
        start()


def test_an_api_that_is_away_for_a_moment_is_asked_again(
    cluster: Cluster, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(look: int) -> None:
        cluster.refuse = {"GET .*/pods": (503, "away")} if 2 < look < 6 else {}
        if look == 7:
            cluster.conditions = [condition("Failed")]

    cluster.on_look = away
    with pytest.raises(TrainingError, match="Planted"):
        start()
    monkeypatch.setattr("components.train_distributed.follow.PATIENCE", 3)
    cluster.on_look = lambda _look: cluster.refuse.update({"GET .*/pods": (503, "away")})
    cluster.jobs, cluster.conditions = {}, []
    with pytest.raises(TrainingError, match="can no longer be followed: the Kubernetes API did not answer"):
        start()


def test_a_step_that_was_taken_away_finds_its_job_again(cluster: Cluster, start: Start) -> None:
    cluster.conditions = [condition("Failed")]
    with pytest.raises(TrainingError):
        start()
    cluster.conditions, cluster.requests = [], []
    cluster.pods = [pod(0, "Running", "step 3\n")]

    def fails(look: int) -> None:
        if cluster.requests.count(f"GET {JOBS}/{next(iter(cluster.jobs))}") == 4:
            cluster.conditions = [condition("Failed")]

    cluster.on_look = fails
    with pytest.raises(TrainingError):
        start()
    assert f"POST {JOBS}" not in cluster.requests


def test_a_failed_job_is_replaced_by_the_next_attempt(cluster: Cluster, start: Start) -> None:
    cluster.conditions = [condition("Failed")]
    for _ in range(2):
        with pytest.raises(TrainingError):
            start()
    posts_and_deletions = [call.split()[0] for call in cluster.requests if not call.startswith("GET")]
    assert posts_and_deletions == ["POST", "DELETE", "POST"]


def test_a_step_that_is_told_to_stop_takes_its_job_with_it(cluster: Cluster, start: Start) -> None:
    cluster.on_look = lambda look: os.kill(os.getpid(), signal.SIGTERM) if look == 4 else None
    with pytest.raises(Stopped, match="SIGTERM"):
        start()
    assert not cluster.jobs


def test_nodes_that_lack_a_gpu_or_a_shared_volume_are_refused_before_anything_is_created(
    cluster: Cluster, start: Start, train_params: TrainParams
) -> None:
    on_gpu = train_params.model_copy(update={"device": "cuda"})
    with pytest.raises(ConfigError, match=r"each node runs 1 processes, but it gets 0 GPUs"):
        start(params=on_gpu)
    eight = LAYOUT.model_copy(update={"processes": 8})
    with pytest.raises(ConfigError, match="8 processes, but it gets 4 GPUs"):
        start(params=on_gpu, layout=eight, resources={"limits": {"cpu": "4", "nvidia.com/gpu": "4"}})
    with pytest.raises(
        ConfigError, match=r"lies on no volume that the nodes share \(there are: /elsewhere\)"
    ):
        start(volume_mounts=[{"name": "work", "mountPath": "/elsewhere"}])
    assert f"POST {JOBS}" not in cluster.requests


def test_without_a_cluster_one_node_is_suggested(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    with pytest.raises(TrainingError, match=r"this step runs in none.*set nodes: 1"):
        start()
