"""As much of the Kubernetes API as one ConfigMap and one Lease need, on a local port."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

TOKEN = "planted-token"
PATH = "/api/v1/namespaces/speech/configmaps/mome-scale"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/speech/leases/mome-controller"


class Api(ThreadingHTTPServer):
    """As much of the Kubernetes API as one ConfigMap needs: merge patches, a token, refusals."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.config_maps: dict[str, dict[str, Any]] = {PATH: {"data": {"other": "kept"}}}
        self.leases: dict[str, dict[str, Any]] = {}
        self.refusal: int | None = None
        self.seen: list[tuple[str, str, str]] = []  # method, path with query, content type


class Handler(BaseHTTPRequestHandler):
    server: Api

    def do_PATCH(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.command, self.path, self.headers["Content-Type"]))
        if self.server.refusal == 0:
            return self.connection.shutdown(socket.SHUT_RDWR)
        if self.server.refusal is not None:
            return self.answer(self.server.refusal, {"message": "refused"})
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self.answer(401, {"message": "Unauthorized"})
        found = self.server.config_maps.get(self.path.partition("?")[0])
        if found is None:
            return self.answer(404, {"message": "not found"})
        if "merge-patch" not in self.headers["Content-Type"]:
            return self.answer(415, {"message": "expected a merge patch"})
        found["data"] |= json.loads(body)["data"]
        return self.answer(200, {"apiVersion": "v1", "kind": "ConfigMap"} | found)

    def do_GET(self) -> None:
        found = self.server.leases.get(self.path)
        if self.server.refusal is not None:
            return self.answer(self.server.refusal, {"message": "refused"})
        return self.answer(404, {"message": "not found"}) if found is None else self.answer(200, found)

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        version = self.server.leases[self.path]["metadata"]["resourceVersion"]
        if body["metadata"].get("resourceVersion") != version:
            return self.answer(409, {"message": "the object has been modified"})
        body["metadata"]["resourceVersion"] = str(int(version) + 1)
        self.server.leases[self.path] = body
        return self.answer(200, body)

    def answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *said: object) -> None:
        pass


def kubeconfig(port: int, folder: Path) -> str:
    """Write what `kubectl` would read, and return its path: the value of KUBECONFIG."""
    path = folder / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "speech"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
    }
    path.write_text(yaml.safe_dump(content))
    return str(path)


@contextmanager
def running(folder: Path) -> Iterator[tuple[Api, str]]:
    """Run the API; yields it and the value of KUBECONFIG."""
    with Api() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server, kubeconfig(server.server_address[1], folder)
        server.shutdown()
