"""Whether Kubeflow Trainer is there and new enough, where a training goes over several nodes."""

from __future__ import annotations

from functools import partial

from pipelines.cluster import Cluster
from pipelines.preflight.check import Answer, Check, right, to_do
from pipelines.preflight.kubernetes_api import Api

__all__ = ["checks"]

NEEDED = "2.2"  # the first that knows the field
FIELD = "runtimePatches"
TRAINJOBS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/trainjobs.trainer.kubeflow.org"
RUNTIMES = "/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes"


def checks(api: Api, cluster: Cluster) -> list[Check]:
    """Return the looks.

    Args:
        api: Of the cluster.
        cluster: On how many nodes a training goes, and by which runtime.
    """
    if cluster.distributed.nodes == 1:
        return [Check("Trainer", lambda: right("is not needed: a training stays on one node"))]
    runtime = cluster.distributed.runtime
    return [
        Check("Trainer", partial(_trainer, api)),
        Check(f"runtime {runtime}", partial(_runtime, api, runtime)),
    ]


def _trainer(api: Api) -> Answer:
    found = api.get(TRAINJOBS)
    if found is None:
        return to_do(f"is not installed: install {NEEDED} or newer, or set distributed.nodes to 1")
    for version in found["spec"]["versions"]:
        spec = version["schema"]["openAPIV3Schema"]["properties"].get("spec", {})
        if FIELD in spec.get("properties", {}):
            return right(f"is {NEEDED} or newer")
    return to_do(
        f"is older than {NEEDED} and ignores {FIELD}: its nodes would not find their inputs; have it upgraded"
    )


def _runtime(api: Api, name: str) -> Answer:
    if api.get(f"{RUNTIMES}/{name}") is None:
        return to_do("is not there: install Trainer's runtimes, or name another in distributed.runtime")
    return right("is there")
