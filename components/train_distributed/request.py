"""What is asked of Kubeflow Trainer: a TrainJob whose nodes stand as the step would have stood.

kfp hands a step's resources, variables, volumes, tolerations and node selector on as `dsl.TaskConfig`. It
leaves out shared memory, pull secrets and the user, which are added here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kfp import dsl
from kubeflow.trainer import CustomTrainerContainer
from kubeflow.trainer.options.common import Name
from kubeflow.trainer.options.kubernetes import (
    ActiveDeadlineSeconds,
    ContainerPatch,
    JobSetSpecPatch,
    JobSetTemplatePatch,
    JobSpecPatch,
    JobTemplatePatch,
    Labels,
    PodSpecPatch,
    PodTemplatePatch,
    ReplicatedJobPatch,
    RuntimePatch,
    TrainerCommand,
    TrainingRuntimeSpecPatch,
)

from components.train_distributed.layout import Layout
from components.train_distributed.nodes import NODE
from mome.config import TrainParams
from mome.errors import ConfigError

__all__ = ["check", "job_options", "secret_variables", "trainer"]

_SHM = "shm"
# A profile's mesh proxy would run on when the training has ended, and stand between the nodes.
_NO_MESH = {"labels": {"sidecar.istio.io/inject": "false"}}
_COMMON = ("cpu", "memory", "ephemeral-storage", "hugepages-")  # every other resource is an accelerator


def check(params: TrainParams, layout: Layout, config: dsl.TaskConfig, work: Path) -> None:
    """Check before anything is created that the nodes will find what they need.

    Raises:
        ConfigError: If the nodes get fewer GPUs than processes, or share no volume for ``work``.
    """
    resources = _resources(config).items()
    gpus = sum(int(count) for name, count in resources if not name.startswith(_COMMON))
    if params.device.startswith("cuda") and gpus < layout.processes:
        raise ConfigError(
            f"train.device is {params.device} and each node runs {layout.processes} processes, but it gets "
            f"{gpus} GPUs: set gpu.count of step train, or train.device: cpu"
        )
    mounts = [Path(mount["mountPath"]) for mount in config.volume_mounts or []]
    if not any(work.absolute().is_relative_to(mount) for mount in mounts):
        found = ", ".join(str(mount) for mount in mounts) or "none"
        raise ConfigError(
            f"{work.absolute()}: lies on no volume that the nodes share (there are: {found}); mount a "
            "ReadWriteMany claim there"
        )


def trainer(layout: Layout, config: dsl.TaskConfig) -> CustomTrainerContainer:
    """Return image, number, resources and variables of the nodes."""
    return CustomTrainerContainer(
        image=layout.image,
        num_nodes=layout.nodes,
        resources_per_node=_resources(config),
        env={entry["name"]: entry.get("value", "") for entry in config.env or [] if "valueFrom" not in entry},
    )


def secret_variables(config: dsl.TaskConfig) -> list[str]:
    """Return the variables that stay behind: those by reference, which Trainer takes for no node.

    Training needs none of them: what it reads was fetched by the steps before it.
    """
    return [entry["name"] for entry in config.env or [] if "valueFrom" in entry]


def job_options(
    name: str, command: list[str], layout: Layout, config: dsl.TaskConfig, labels: dict[str, str]
) -> list[Any]:
    """Return everything of the TrainJob that `CustomTrainerContainer` has no place for."""
    shm = {"name": _SHM, "emptyDir": {"medium": "Memory", "sizeLimit": layout.shm}}
    node = ContainerPatch(
        name=NODE,
        volume_mounts=[*(config.volume_mounts or []), {"name": _SHM, "mountPath": "/dev/shm"}],  # noqa: S108
        security_context={"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    )
    pod = PodSpecPatch(
        volumes=[*(config.volumes or []), shm],
        containers=[node],
        image_pull_secrets=[{"name": secret} for secret in layout.pull_secrets],
        security_context=_user(),
        node_selector=config.node_selector,
        affinity=config.affinity,
        tolerations=config.tolerations,
    )
    template = PodTemplatePatch(metadata=_NO_MESH, spec=pod)
    jobs = [ReplicatedJobPatch(NODE, JobTemplatePatch(spec=JobSpecPatch(template)))]
    return [
        Name(name),
        Labels(labels),
        TrainerCommand(command),
        ActiveDeadlineSeconds(layout.timeout_s),
        RuntimePatch(
            TrainingRuntimeSpecPatch(JobSetTemplatePatch(spec=JobSetSpecPatch(replicated_jobs=jobs)))
        ),
    ]


def _resources(config: dsl.TaskConfig) -> dict[str, str]:
    """Return one amount for each resource: the SDK asks for as much as it allows."""
    given = config.resources or {}
    amounts = (given.get("requests") or {}) | (given.get("limits") or {})
    return {name: str(amount) for name, amount in amounts.items()}


def _user() -> dict[str, Any]:
    """Return the user of this step: files on the shared volume belong to both."""
    return {
        "runAsUser": os.getuid(),
        "runAsGroup": os.getgid(),
        "runAsNonRoot": os.getuid() != 0,
        "fsGroup": os.getgid(),
        # The volume may hold many files; they are given to the group once.
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
