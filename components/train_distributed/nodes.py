"""The nodes of a TrainJob as Kubernetes sees them: why one waits, and why one ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kubeflow.trainer import TrainerClient
from kubeflow.trainer.constants import constants

__all__ = ["NODE", "Node", "nodes_of"]

NODE = constants.NODE  # Trainer's name for the container, the replicated job, and each node before its number


@dataclass(frozen=True)
class Node:
    """A pod of a TrainJob.

    Args:
        name: ``node-0`` and so on; the first one shows progress and writes the checkpoint.
        pod: Name of the pod.
        phase: Pending, Running, Succeeded or Failed.
        reason: In one word, why it waits or ended; empty if there is nothing to say.
        message: The same in a sentence.
    """

    name: str
    pod: str
    phase: str
    reason: str
    message: str

    @property
    def has_started(self) -> bool:
        """Whether there is a log."""
        return self.phase != "Pending"


def nodes_of(client: TrainerClient, job: str) -> list[Node]:
    """Return the nodes in their order, each by its newest pod."""
    selector = constants.POD_LABEL_SELECTOR.format(trainjob_name=job)
    pods = client.backend.core_api.list_namespaced_pod(
        client.backend.namespace, label_selector=selector
    ).items
    newest = {}
    for pod in sorted(pods, key=lambda pod: pod.metadata.creation_timestamp):
        newest[int(pod.metadata.labels[constants.JOB_INDEX_LABEL])] = pod
    return [_node(index, pod) for index, pod in sorted(newest.items())]


def _node(index: int, pod: Any) -> Node:
    reason, message = _why(pod.status)
    return Node(f"{NODE}-{index}", pod.metadata.name, pod.status.phase, reason, message)


def _why(status: Any) -> tuple[str, str]:
    for container in status.container_statuses or []:
        for state in (container.state.terminated, container.state.waiting):
            if state is not None and state.reason not in (None, "Error", "Completed", "ContainerCreating"):
                return state.reason, state.message or ""
    if status.reason:  # the whole pod was ended: Evicted, Preempting, NodeShutdown
        return status.reason, status.message or ""
    for condition in status.conditions or []:
        ended = condition.type == "DisruptionTarget" and condition.status == "True"
        waits = condition.type == "PodScheduled" and condition.status == "False"
        if ended or waits:
            return condition.reason or condition.type, condition.message or ""
    return "", ""
