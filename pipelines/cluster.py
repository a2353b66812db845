"""What each step is given on a cluster, from one file; kfp.local runs the same pipelines without it.

`steps` are the components of the catalogue. A task of one is set up for the cluster as it is made, so a
pipeline that takes its steps from here can forget none.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from kfp import dsl, kubernetes
from kubernetes.utils import parse_quantity
from pydantic import AfterValidator, Field, ValidationError, model_validator

from components import catalogue
from components.images import image
from components.train_distributed.layout import Layout
from mome.config import Params, Section
from mome.errors import ConfigError
from mome.gpus import check_gpus
from mome.object_store import REGISTRY_S3

__all__ = ["CLUSTER_FILE", "Cluster", "Step", "Steps", "check_devices", "load_cluster", "steps"]

CLUSTER_FILE = Path(__file__).with_suffix(".yaml")
VARIABLE = "MOME_CLUSTER"  # names a file with what differs
DISTRIBUTED = "train_distributed"
DEVICE = "MOME_DEVICE"  # of the service that step rehearse starts
BACKOFF_FACTOR = 2
# A label's or annotation's name, with or without a prefix: kueue.x-k8s.io/queue-name.
KEY = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
LAUNCHERS = ("AWS_", "GOOGLE_", "AZURE_")  # variables that Kubeflow's launcher reads for its artifacts


def _is_quantity(text: str) -> str:
    parse_quantity(text)  # raises a ValueError that names the text
    return text


Quantity = Annotated[str, AfterValidator(_is_quantity)]  # of Kubernetes: 500m, 2, 4Gi
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]


class Amount(Section):
    """What is set aside for a step, and what it may take."""

    request: Quantity
    limit: Quantity

    @model_validator(mode="after")
    def _fits(self) -> Amount:
        if parse_quantity(self.request) > parse_quantity(self.limit):
            raise ValueError(f"the request is {self.request}, but the limit {self.limit}")
        return self


class Gpu(Section):
    """Whole GPUs, or parts of one by their own resource name."""

    resource: str
    count: int = Field(ge=0)


class Toleration(Section):
    """A taint of nodes that does not keep the step away."""

    key: str
    operator: Literal["Equal", "Exists"]
    value: str | None = None
    effect: Literal["NoExecute", "NoSchedule", "PreferNoSchedule"] | None = None


class NodeAffinity(Section):
    """Labels of nodes that the step needs, or would rather have."""

    key: str
    operator: Literal["DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn"]
    values: list[str] = Field(default_factory=list)
    weight: int | None = Field(default=None, ge=1, le=100)  # of a wish; None for a condition


class Volume(Section):
    """A claim and where the steps find it."""

    claim: Name
    path: str = Field(pattern="^/")


class Secret(Section):
    """A secret: each of its keys becomes a variable, or all of them files in a folder."""

    secret: Name
    keys: dict[str, str] = Field(default_factory=dict)
    path: str | None = Field(default=None, pattern="^/")
    optional: bool

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Secret:
        if bool(self.keys) == (self.path is not None):
            raise ValueError(f"{self.secret}: expected either keys, for variables, or path, for files")
        for variable in self.keys.values():
            if variable.startswith(LAUNCHERS):
                raise ValueError(
                    f"{self.secret}: {variable} would be taken by Kubeflow's launcher, too, for its own "
                    f"artifacts; expected a name of ours, as {REGISTRY_S3}ACCESS_KEY_ID"
                )
        return self


class Distributed(Section):
    """Training on several nodes."""

    nodes: int = Field(gt=0)
    runtime: Name


class RunTimeouts(Section):
    """When a whole run is ended, by pipeline."""

    training: int = Field(gt=0)
    training_sharded: int = Field(gt=0)
    monitoring: int = Field(gt=0)


class Step(Section):
    """What one step is given."""

    retries: int = Field(ge=0)
    backoff_s: int = Field(gt=0)
    timeout_s: int = Field(gt=0)
    queue_s: int = Field(ge=0)
    cpu: Amount
    memory: Amount
    gpu: Gpu
    shm: Quantity
    tolerations: list[Toleration]
    node_selector: dict[str, str]
    node_affinity: list[NodeAffinity]
    labels: dict[Annotated[str, Field(pattern=KEY)], str]
    annotations: dict[Annotated[str, Field(pattern=KEY)], str]
    volumes: list[str]  # names in section `volumes`
    secrets: list[str]  # names in section `secrets`
    env: dict[str, str]

    @property
    def retry_window_s(self) -> int:
        """How long after the beginning of the first attempt the last one may still be at work.

        Argo counts from there, and ends an attempt that is running when the window closes. So it holds
        every attempt's wait for a node, its time, and the pauses between.
        """
        pauses = sum(self.backoff_s * BACKOFF_FACTOR**attempt for attempt in range(self.retries))
        return (self.retries + 1) * (self.queue_s + self.timeout_s) + pauses


class Cluster(Section):
    """All of ``pipelines/cluster.yaml``."""

    user: int = Field(gt=0)  # 0 is root
    group: int = Field(gt=0)
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"]
    image_pull_secrets: list[Name]
    parameters: dict[str, str]
    volumes: dict[str, Volume]
    secrets: dict[str, Secret]
    distributed: Distributed
    run_timeout_s: RunTimeouts
    defaults: dict[str, Any]
    steps: dict[str, dict[str, Any]]

    @model_validator(mode="after")
    def _fits(self) -> Cluster:
        known = set(catalogue.__all__) - {DISTRIBUTED}
        if unknown := sorted(set(self.steps) - known):
            raise ValueError(f"steps.{unknown[0]}: no such step; there are {', '.join(sorted(known))}")
        for name in sorted(known):
            step = self.step(name)
            for kind, used, there in (
                ("volume", step.volumes, self.volumes),
                ("secret", step.secrets, self.secrets),
            ):
                if missing := sorted(set(used) - set(there)):
                    raise ValueError(f"steps.{name}: no {kind} {missing[0]}; there are {', '.join(there)}")
        rehearse = self.step("rehearse")
        device, count = rehearse.env.get(DEVICE, "cpu"), rehearse.gpu.count
        if device.startswith("cuda") != bool(count):
            raise ValueError(f"steps.rehearse: {DEVICE} is {device}, but gpu.count is {count}")
        if self.distributed.nodes > 1 and not self.step("train").volumes:
            raise ValueError("distributed: several nodes share a volume, but steps.train has none")
        return self

    def step(self, name: str) -> Step:
        """Return what a step is given: the defaults, and what differs for it.

        Raises:
            ValueError: If a value is missing, unknown or wrong; the message names each.
        """
        try:
            return Step.model_validate(_merged(self.defaults, self.steps.get(name, {})), strict=True)
        except ValidationError as error:
            raise ValueError(_explained(error, f"steps.{name}.")) from None

    @cached_property
    def processes(self) -> int:
        """How many processes of a node share a training: one for each GPU, or one."""
        return max(1, self.step("train").gpu.count)

    @cached_property
    def gpus(self) -> dict[str, int]:
        """How many GPUs a step whose device is a parameter gets."""
        return {name: self.step(name).gpu.count for name in ("train", "evaluate")}

    def layout(self) -> Layout:
        """Return how a training over several nodes is laid out."""
        train = self.step("train")
        return Layout(
            nodes=self.distributed.nodes,
            processes=self.processes,
            image=image("train"),
            runtime=self.distributed.runtime,
            shm=train.shm,
            pull_secrets=self.image_pull_secrets,
            timeout_s=train.timeout_s,
            labels=train.labels,
        )


def load_cluster(path: Path | None = None) -> Cluster:
    """Read and check what a cluster gives.

    Args:
        path: File with what differs from `CLUSTER_FILE`; the one that ``MOME_CLUSTER`` names if not given.

    Raises:
        ConfigError: If a file is missing or not YAML, or holds an unknown key, a missing key, a wrong value
            or an unknown name; the message names each.
    """
    content = _read(CLUSTER_FILE)
    path = path or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if path is not None:
        content = _merged(content, _read(path))
    try:
        return Cluster.model_validate(content, strict=True)
    except ValidationError as error:
        raise ConfigError(f"{path or CLUSTER_FILE.name}: {_explained(error)}") from None


def check_devices(cluster: Cluster, params: Params) -> None:
    """Check that the steps that ask for a GPU get one, and that none is held in vain.

    Raises:
        ConfigError: If they do not agree.
    """
    check_gpus(params, cluster.gpus)


class Steps:
    """The components of the catalogue, whose tasks are set up for a cluster as they are made.

    Args:
        cluster: What it gives.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def __getattr__(self, name: str) -> Callable[..., dsl.PipelineTask]:
        component = getattr(catalogue, name)
        return lambda **inputs: self._set_up(component(**inputs), name)

    def configure(self, **inputs: Any) -> dsl.PipelineTask:
        """Check the parameters, also against what this cluster gives."""
        return self._set_up(catalogue.configure(**inputs, gpus=self.cluster.gpus), "configure")

    def train(self, **inputs: Any) -> dsl.PipelineTask:
        """Fine-tune: with one process for each GPU of a node, or on several nodes where they are set."""
        if self.cluster.distributed.nodes == 1:
            return self._set_up(catalogue.train(**inputs, processes=self.cluster.processes), "train")
        task = catalogue.train_distributed(**inputs, layout=self.cluster.layout().model_dump(mode="json"))
        return self._set_up(task, "train", waits=True).set_display_name("train")

    def _set_up(self, task: dsl.PipelineTask, name: str, *, waits: bool = False) -> dsl.PipelineTask:
        """Give a task what its step is given.

        Args:
            task: Of the step.
            name: In the catalogue.
            waits: The work is done by other pods, which take over what Kubeflow passes through.
        """
        cluster, step = self.cluster, self.cluster.step(name)
        task.set_cpu_request(step.cpu.request).set_cpu_limit(step.cpu.limit)
        task.set_memory_request(step.memory.request).set_memory_limit(step.memory.limit)
        if step.gpu.count:
            task.set_accelerator_type(step.gpu.resource).set_accelerator_limit(step.gpu.count)
        if step.retries:
            task.set_retry(
                step.retries,
                backoff_duration=f"{step.backoff_s}s",
                backoff_factor=float(BACKOFF_FACTOR),
                backoff_max_duration=f"{step.retry_window_s}s",  # an hour if it is not given
            )
        for variable, value in step.env.items():
            task.set_env_variable(variable, value)
        kubernetes.set_timeout(task, step.timeout_s)
        kubernetes.set_security_context(
            task, run_as_user=cluster.user, run_as_group=cluster.group, run_as_non_root=True
        )
        kubernetes.set_image_pull_policy(task, cluster.image_pull_policy)
        if cluster.image_pull_secrets:
            kubernetes.set_image_pull_secrets(task, cluster.image_pull_secrets)
        if not waits:
            kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit=step.shm)  # noqa: S108
        for toleration in step.tolerations:
            kubernetes.add_toleration(task, **toleration.model_dump())
        for key, value in step.node_selector.items():
            kubernetes.add_node_selector(task, key, value)
        for wish in step.node_affinity:
            expression = {"key": wish.key, "operator": wish.operator, "values": wish.values}
            kubernetes.add_node_affinity(task, match_expressions=[expression], weight=wish.weight)
        # A queue admits what takes the resources: of a training on several nodes that is its TrainJob.
        for key, value in ({} if waits else step.labels).items():
            kubernetes.add_pod_label(task, key, value)
        for key, value in step.annotations.items():
            kubernetes.add_pod_annotation(task, key, value)
        for name in step.volumes:
            kubernetes.mount_pvc(task, cluster.volumes[name].claim, cluster.volumes[name].path)
        for name in step.secrets:
            secret = cluster.secrets[name]
            if secret.path is not None:
                kubernetes.use_secret_as_volume(task, secret.secret, secret.path, optional=secret.optional)
            else:
                kubernetes.use_secret_as_env(task, secret.secret, secret.keys, optional=secret.optional)
        return task


def _merged(whole: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Return ``whole`` with the values of ``part`` in it; a section is merged, a list stands in."""
    result = dict(whole)
    for key, value in part.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected sections, got {type(content).__name__}")
    return content


def _explained(error: ValidationError, prefix: str = "") -> str:
    return "; ".join(
        ": ".join(
            part for part in (prefix + ".".join(map(str, detail["loc"])), _reason(detail["msg"])) if part
        )
        for detail in error.errors()
    )


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ")


steps = Steps(load_cluster())
