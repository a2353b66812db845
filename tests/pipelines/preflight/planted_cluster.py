"""A cluster in memory as far as a look at it goes: the Kubernetes API, Pipelines' server, a registry.

The Kubernetes API answers as a real one does: objects whole, refusals and what is not there as a Status. The
server's health is what Kubeflow Pipelines 2.17.0 answered.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

KUBERNETES_TOKEN, TOKEN = "of-kubectl", "of-default-editor"
NAMESPACE = "team-a"
OWN = f"/api/v1/namespaces/{NAMESPACE}"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/trainjobs.trainer.kubeflow.org"
RUNTIME = "/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes/torch-distributed"
SETTINGS = "/api/v1/namespaces/kubeflow/configmaps/workflow-controller-configmap"
SHARED = "/apis/storage.k8s.io/v1/storageclasses/shared"
# As a workflow of 2.17 carried them into every step.
OF_2_17 = {"spec": {"templateDefaults": {"retryStrategy": {"limit": "2", "retryPolicy": "OnError"}}}}
HEALTH = {"commit_sha": "4a3592cb", "tag_name": "2.17.0", "multi_user": True, "pipeline_store": "database"}


def named(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "uid": "8ddb1212"}} | more


def secret(name: str, *keys: str) -> dict[str, Any]:
    return named("Secret", name, type="Opaque", data=dict.fromkeys(keys, "eA=="))


def claim(name: str, phase: str) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteMany"], "storageClassName": "shared"}
    return named("PersistentVolumeClaim", name, spec=spec, status={"phase": phase})


def trainjobs(*fields: str) -> dict[str, Any]:
    spec = {"type": "object", "properties": {name: {"type": "array"} for name in ("runtimeRef", *fields)}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    return named("CustomResourceDefinition", "t", spec={"versions": [{"name": "v1alpha1", "schema": schema}]})


def profile() -> dict[str, dict[str, Any]]:
    """Return a profile with all that the manual makes in it, and what is installed around it, by path."""
    namespace = named("Namespace", NAMESPACE)
    namespace["metadata"]["labels"] = {"pipelines.kubeflow.org/enabled": "true"}
    held = [
        ("serviceaccounts", named("ServiceAccount", "default-editor")),
        ("secrets", secret("mlpipeline-minio-artifact", "accesskey", "secretkey")),
        *(
            ("persistentvolumeclaims", claim(f"mome-{name}", "Bound"))
            for name in ("models", "monitor", "requests", "work")
        ),
    ]
    return {
        OWN: namespace,
        **{f"{OWN}/{kind}/{found['metadata']['name']}": found for kind, found in held},
        SHARED: named("StorageClass", "shared", volumeBindingMode="Immediate"),
        CRD: trainjobs("runtimePatches"),
        RUNTIME: named("ClusterTrainingRuntime", "torch-distributed"),
        SETTINGS: named("ConfigMap", "c", data={"workflowDefaults": yaml.safe_dump(OF_2_17)}),
    }


@dataclass
class Cluster:
    """What there is, who may not see it, and what the others answer."""

    objects: dict[str, dict[str, Any]] = field(default_factory=profile)
    hidden: set[str] = field(default_factory=set)
    health: dict[str, Any] = field(default_factory=HEALTH.copy)
    token: str = TOKEN
    kubernetes_token: str = KUBERNETES_TOKEN
    images: set[str] = field(default_factory=set)  # team/mome-data@sha256:...
    registry_status: int = 200
    host: str = ""


class Handler(BaseHTTPRequestHandler):
    cluster: Cluster

    def do_HEAD(self) -> None:
        name = self.path.removeprefix("/v2/").replace("/manifests/", "@")
        there = 200 if name in self.cluster.images else 404
        self.send_response(there if self.cluster.registry_status == 200 else self.cluster.registry_status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        path, who = urlsplit(self.path).path, self.headers.get("Authorization", "")
        if path == "/apis/v2beta1/healthz":
            self.answer(200, self.cluster.health)
        elif path.startswith("/apis/v2beta1/"):
            self.answer(*((200, {}) if who == f"Bearer {self.cluster.token}" else (401, {"code": 16})))
        elif who != f"Bearer {self.cluster.kubernetes_token}":
            self.refuse(401, "Unauthorized", "Unauthorized")
        elif path in self.cluster.hidden:
            self.refuse(403, "Forbidden", f'User "anna" cannot get {path}')
        elif path not in self.cluster.objects:
            self.refuse(404, "NotFound", f"{path} not found")
        else:
            self.answer(200, self.cluster.objects[path])

    def refuse(self, code: int, reason: str, message: str) -> None:
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
        self.answer(code, status | {"message": message, "reason": reason, "code": code})

    def answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_said: object) -> None:
        pass


@contextmanager
def running() -> Iterator[Cluster]:
    """Run the cluster until the end of the block; ``host`` is where all of it listens."""
    cluster = Cluster()
    handler = type("PlantedHandler", (Handler,), {"cluster": cluster})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        cluster.host = f"127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield cluster
        server.shutdown()


def kubeconfig(cluster: Cluster, folder: Path) -> str:
    """Write what `kubectl` would read, and return its path."""
    path = folder / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": NAMESPACE}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://{cluster.host}"}}],
        "users": [{"name": "u", "user": {"token": KUBERNETES_TOKEN}}],
    }
    path.write_text(yaml.safe_dump(content))
    return str(path)
