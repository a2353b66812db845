"""How a training is laid out over nodes, beside what Kubeflow hands the step as `dsl.TaskConfig`."""

from __future__ import annotations

from pydantic import Field

from mome.config import Section

__all__ = ["Layout"]


class Layout(Section):
    """What Kubeflow Trainer is told beside resources, volumes and environment of the step."""

    nodes: int = Field(gt=1)
    processes: int = Field(gt=0)  # on each node; on GPUs one for each
    image: str = Field(min_length=1)  # of the nodes
    runtime: str = Field(min_length=1)  # a ClusterTrainingRuntime or TrainingRuntime for torch
    shm: str  # size of /dev/shm; NCCL exchanges through it
    pull_secrets: list[str]  # for the image
    timeout_s: int = Field(gt=0)  # waiting for nodes included
    labels: dict[str, str] = Field(default_factory=dict)  # of the TrainJob, as the queue that admits it
