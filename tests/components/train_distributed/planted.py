"""A Kubernetes API with Kubeflow Trainer on it, as far as a TrainJob goes: over HTTP, in this process.

Asked for a TrainJob, it does what Trainer does: starts the command once for every node, with the variables
that tell torchrun where the nodes meet. A test may plant pods instead of having any run.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from kubeflow.common.types import KubernetesBackendConfig
from kubeflow.trainer import TrainerClient
from kubernetes.client import Configuration

TRAINER = "/apis/trainer.kubeflow.org/v1alpha1"
JOBS = f"{TRAINER}/namespaces/mome/trainjobs"
ANCESTOR = "trainer.kubeflow.org/trainjob-ancestor-step"
NODE = {"name": "node", "image": "mome-train:1"}
RUNTIME = {
    "apiVersion": "trainer.kubeflow.org/v1alpha1",
    "kind": "ClusterTrainingRuntime",
    "metadata": {"name": "torch-distributed", "labels": {"trainer.kubeflow.org/framework": "torch"}},
    "spec": {
        "mlPolicy": {"numNodes": 1, "torch": {}},
        "template": {
            "spec": {
                "replicatedJobs": [
                    {
                        "name": "node",
                        "template": {
                            "metadata": {
                                "labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
                            },
                            "spec": {"template": {"spec": {"containers": [NODE]}}},
                        },
                    }
                ]
            }
        },
    },
}


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def pod(index: int, phase: str, log: str = "", *, name: str = "", **status: Any) -> dict[str, Any]:
    """A pod of the planted job; its log is kept beside what Kubernetes tells."""
    labels = {
        "jobset.sigs.k8s.io/jobset-name": "job",
        "jobset.sigs.k8s.io/replicatedjob-name": "node",
        "batch.kubernetes.io/job-completion-index": str(index),
    }
    return {
        "metadata": {"name": name or f"pod-{index}", "labels": labels, "creationTimestamp": now()},
        "spec": {"containers": [NODE]},
        "status": {"phase": phase, **status},
        "log": log,
    }


def ended(reason: str, exit_code: int = 137) -> list[dict[str, Any]]:
    """The status of a container that was ended for a reason."""
    return [_container({"terminated": {"reason": reason, "exitCode": exit_code}})]


def waiting(reason: str, message: str) -> list[dict[str, Any]]:
    """The status of a container that does not start."""
    return [_container({"waiting": {"reason": reason, "message": message}})]


def _container(state: dict[str, Any]) -> dict[str, Any]:
    return {**NODE, "imageID": "", "ready": False, "restartCount": 0, "state": state}


class Cluster:
    """State of the API, and what happened to it."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: list[dict[str, Any]] = []
        self.refuse: dict[str, tuple[int, str]] = {}  # method and path: status and message
        self.runs_nodes = False
        self.is_silent = False  # a log that neither goes on nor ends, as that of a machine that is gone
        self.is_over = False
        self.conditions: list[dict[str, Any]] = []
        self.on_look: Callable[[int], None] = lambda _look: None  # called with every look at a job
        self._looks = 0
        self._nodes: list[tuple[subprocess.Popen[bytes], Path]] = []
        self.folder = Path()

    def add(self, body: dict[str, Any]) -> dict[str, Any]:
        body["metadata"] |= {"namespace": "mome", "creationTimestamp": now(), "uid": "1"}
        self.jobs[body["metadata"]["name"]] = body
        if self.runs_nodes:
            self._start(body["spec"]["trainer"])
        return body

    def look(self, name: str) -> dict[str, Any] | None:
        self._looks += 1
        self.on_look(self._looks)
        job = self.jobs.get(name)
        if job is None:
            return None
        if self._nodes:
            self.pods = [
                pod(index, _phase(process), log.read_text())
                for index, (process, log) in enumerate(self._nodes)
            ]
            codes = [process.poll() for process, _ in self._nodes]
            if None not in codes:
                self.conditions = [condition("Failed" if any(codes) else "Complete")]
        return job | {"status": {"conditions": self.conditions}}

    def follow(self, name: str) -> Iterator[str]:
        """The lines of a pod until it ends."""
        index = next(index for index, each in enumerate(self.pods) if each["metadata"]["name"] == name)
        if not self._nodes:
            yield self.pods[index]["log"]
            while self.is_silent and not self.is_over:
                time.sleep(0.01)
            return
        process, log = self._nodes[index]
        with log.open() as stream:
            while process.poll() is None:
                yield stream.read()
                time.sleep(0.05)
            yield stream.read()

    def _start(self, trainer: dict[str, Any]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        for rank in range(trainer["numNodes"]):
            told = {
                "PET_NNODES": trainer["numNodes"], "PET_NPROC_PER_NODE": "auto", "PET_NODE_RANK": rank,
                "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": port,
            }  # fmt: skip
            environment = os.environ | {name: str(value) for name, value in told.items()}
            environment |= {each["name"]: each["value"] for each in trainer.get("env", [])}
            environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            log = self.folder / f"node-{rank}.log"
            with log.open("wb") as stream:
                process = subprocess.Popen(
                    trainer["command"], env=environment, stdout=stream, stderr=subprocess.STDOUT
                )
            self._nodes.append((process, log))

    def stop(self) -> None:
        self.is_over = True
        for process, _ in self._nodes:
            process.kill()
            process.wait()


def condition(kind: str, message: str = "as planted") -> dict[str, Any]:
    return {
        "type": kind, "status": "True", "reason": "Planted", "message": message, "lastTransitionTime": now()
    }  # fmt: skip


def _phase(process: subprocess.Popen[bytes]) -> str:
    code = process.poll()
    return "Running" if code is None else "Failed" if code else "Succeeded"


def _handler(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # logs come in chunks

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            if self._refused():
                return
            path = self.path.partition("?")[0]
            if path == f"{TRAINER}/clustertrainingruntimes/torch-distributed":
                self._reply(RUNTIME)
            elif path.startswith(f"{JOBS}/"):
                self._reply(cluster.look(path.rpartition("/")[2]))
            elif path.endswith("/pods"):
                self._reply({"kind": "PodList", "items": cluster.pods})
            elif found := re.fullmatch(r".*/pods/(.*)/log", path):
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for lines in filter(None, cluster.follow(found[1])):
                    content = lines.encode()
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")
            else:
                self._reply(None)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not self._refused():
                self._reply(cluster.add(body))

        def do_DELETE(self) -> None:
            if not self._refused():
                self._reply(cluster.jobs.pop(self.path.partition("?")[0].rpartition("/")[2], None))

        def _refused(self) -> bool:
            call = f"{self.command} {self.path.partition('?')[0]}"
            cluster.requests.append(call)
            for pattern, (status, message) in cluster.refuse.items():
                if re.fullmatch(pattern, call):
                    self._reply({"kind": "Status", "message": message}, status)
                    return True
            return False

        def _reply(self, content: Any, status: int = 200) -> None:
            if content is None:
                content, status = {"kind": "Status", "message": "not found"}, 404
            self.send_response(status)
            body = json.dumps(content).encode()
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


@contextmanager
def serve(cluster: Cluster) -> Iterator[TrainerClient]:
    """Yield a client of Kubeflow Trainer that talks to the planted cluster."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(cluster))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    configuration = Configuration(host=f"http://127.0.0.1:{server.server_port}")
    configuration.retries = 0
    try:
        yield TrainerClient(KubernetesBackendConfig(namespace="mome", client_configuration=configuration))
    finally:
        cluster.stop()
        server.shutdown()
        server.server_close()
        thread.join()
