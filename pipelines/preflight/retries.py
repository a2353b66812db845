"""What Argo takes for a failure that is tried again: its defaults, which differ by version of Pipelines."""

from __future__ import annotations

from functools import partial
from typing import Any

import yaml

from pipelines.preflight.check import Answer, Check, Hidden, right, unseen
from pipelines.preflight.kubernetes_api import Api

__all__ = ["checks"]

SETTINGS = "workflow-controller-configmap"
MEANING = {
    "OnError": "a pod that is lost is started again; one that exits with a code, is out of memory or out of "
    "time is not, whatever `retries` says",
    "OnFailure": "a pod that exits with a code, is out of memory or out of time is started again, one that "
    "is deleted is not",
    "Always": "whatever ends a pod but success, it is started again",
    "OnTransientError": "almost nothing is tried again, whatever `retries` says",
}
UNSET = "OnFailure"  # what Argo takes where nothing is said


def checks(api: Api, namespace: str) -> list[Check]:
    """Return the look.

    Args:
        api: Of the cluster.
        namespace: Of Kubeflow Pipelines itself.
    """
    return [Check("retries", partial(_retries, api, namespace))]


def _retries(api: Api, namespace: str) -> Answer:
    found = api.get(f"/api/v1/namespaces/{namespace}/configmaps/{SETTINGS}")
    if found is None:
        return unseen(f"no ConfigMap {SETTINGS} in {namespace}; --kubeflow-namespace names Pipelines' own")
    policy = _policy(found.get("data") or {})
    return right(f"{policy}: {MEANING.get(policy, 'docs/day-two.md says what that means')}")


def _policy(data: dict[str, str]) -> str:
    """Return the retry policy of Argo's settings: a key for each of them, or all in the key ``config``."""
    try:
        whole = yaml.safe_load(data.get("config") or "{}")
        defaults = yaml.safe_load(data.get("workflowDefaults") or "{}") or whole.get("workflowDefaults")
        return str(_inside(defaults, "spec", "templateDefaults", "retryStrategy", "retryPolicy") or UNSET)
    except (yaml.YAMLError, AttributeError) as error:
        raise Hidden(f"ConfigMap {SETTINGS} cannot be read: {error}") from error


def _inside(content: Any, *path: str) -> Any:
    for name in path:
        content = content.get(name) if isinstance(content, dict) else None
    return content
