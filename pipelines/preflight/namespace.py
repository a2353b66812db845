"""What the namespace of the runs must hold: a profile's own things, claims, secrets."""

from __future__ import annotations

from functools import partial
from typing import Any

from pipelines.cluster import Cluster, Secret
from pipelines.preflight.check import Answer, Check, right, to_do
from pipelines.preflight.kubernetes_api import Api

__all__ = ["checks"]

ENABLED = "pipelines.kubeflow.org/enabled"  # Pipelines equips the namespaces that carry this label
ARTIFACTS = "mlpipeline-minio-artifact"  # what it puts there for the launcher's store of artifacts
PROFILE = "make it a Profile (docs/operations.md, step 2)"
OVERLAY = "apply your overlay (docs/operations.md, step 3)"
LATER = "WaitForFirstConsumer"


def checks(api: Api, namespace: str, account: str, cluster: Cluster, *, is_profile: bool) -> list[Check]:
    """Return the looks at a namespace.

    Args:
        api: Of the cluster.
        namespace: Where the steps run.
        account: Service account that they run as.
        cluster: What steps are given: names of claims and secrets.
        is_profile: Whether it is one of several people's, and not the server's own.
    """
    claims = sorted({volume.claim for volume in cluster.volumes.values()})
    secrets = sorted(cluster.secrets.values(), key=lambda secret: secret.secret)
    return [
        Check(f"namespace {namespace}", partial(_namespace, api, namespace, is_profile)),
        Check(f"service account {account}", partial(_account, api, namespace, account)),
        Check(f"secret {ARTIFACTS}", partial(_artifacts, api, namespace)),
        *(Check(f"claim {name}", partial(_claim, api, namespace, name)) for name in claims),
        *(Check(f"secret {each.secret}", partial(_secret, api, namespace, each)) for each in secrets),
        *(
            Check(f"secret {name}", partial(_pull_secret, api, namespace, name))
            for name in cluster.image_pull_secrets
        ),
    ]


def _namespace(api: Api, namespace: str, is_profile: bool) -> Answer:
    found = api.get(f"/api/v1/namespaces/{namespace}")
    if found is None:
        return to_do(f"there is none of that name: {PROFILE if is_profile else 'check --namespace'}")
    if not is_profile:
        return right("is the server's own, which needs no profile")
    if (found["metadata"].get("labels") or {}).get(ENABLED) != "true":
        return to_do(f"is a plain one, without the label {ENABLED}=true of a profile: {PROFILE}")
    return right("is a profile")


def _account(api: Api, namespace: str, account: str) -> Answer:
    if api.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}") is None:
        return to_do(f"is not there; steps run as it: {PROFILE}, or name another with --service-account")
    return right("is there")


def _artifacts(api: Api, namespace: str) -> Answer:
    if api.get(f"/api/v1/namespaces/{namespace}/secrets/{ARTIFACTS}") is not None:
        return right("is there: steps can store what they make")
    launcher = api.get(f"/api/v1/namespaces/{namespace}/configmaps/kfp-launcher")
    if launcher and {"providers", "defaultPipelineRoot"} & set(launcher.get("data") or {}):
        return right("is not there, and ConfigMap kfp-launcher names another store")
    return to_do(f"is not there, and no ConfigMap kfp-launcher names another store: {PROFILE}")


def _claim(api: Api, namespace: str, name: str) -> Answer:
    found = api.get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}")
    if found is None:
        return to_do(f"is not there: {OVERLAY}")
    phase = found.get("status", {}).get("phase")
    if phase == "Bound":
        return right("is bound")
    storage = found["spec"].get("storageClassName")
    if phase == "Pending" and storage and _binds_later(api, storage):
        return right(f"is bound by the first pod that mounts it (class {storage})")
    return to_do(
        f"is {phase}, class {storage or 'by default'}: a step would wait for it; name a class that has "
        f"{', '.join(found['spec'].get('accessModes', []))} in your overlay"
    )


def _binds_later(api: Api, storage: str) -> bool:
    found = api.get(f"/apis/storage.k8s.io/v1/storageclasses/{storage}")
    return found is not None and found.get("volumeBindingMode") == LATER


def _secret(api: Api, namespace: str, secret: Secret) -> Answer:
    found = api.get(f"/api/v1/namespaces/{namespace}/secrets/{secret.secret}")
    if found is None and secret.optional:
        return right("is not there, and only needed for what manifests/README.md says")
    if found is None:
        return to_do("is not there: make it (manifests/README.md)")
    missing = sorted(set(secret.keys) - _keys(found))
    if missing and not secret.optional:
        return to_do(f"lacks {', '.join(missing)}: add it (manifests/README.md)")
    return right("is there" + (f", without {', '.join(missing)}" if missing else ""))


def _pull_secret(api: Api, namespace: str, name: str) -> Answer:
    found = api.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    if found is None:
        return to_do("is not there: make it with `kubectl create secret docker-registry`")
    if ".dockerconfigjson" not in _keys(found):
        return to_do("holds no login of a registry: make it with `kubectl create secret docker-registry`")
    return right("is there")


def _keys(secret: dict[str, Any]) -> set[str]:
    return set(secret.get("data") or {})
