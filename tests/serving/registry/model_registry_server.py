"""A Model Registry in memory that speaks through the models of Kubeflow's own client (mr_openapi)."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import mr_openapi as api

BASE = "/api/model_registry/v1"


class ModelRegistryServer:
    """What it holds, what it was asked, and how it is to behave."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, dict[str, Any]] = {}
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.writes: list[str] = []
        self.tokens: set[str | None] = set()
        self.required_token: str | None = None
        self.fail_after: int | None = None  # writes that succeed before all fail with 500
        self.base = BASE
        self.address = ""

    def version(self, name: str) -> dict[str, Any]:
        (found,) = [item for item in self.versions.values() if item["name"] == name]
        return found

    def stages(self) -> dict[str, str]:
        return {
            item["name"]: item["customProperties"]["stage"]["string_value"] for item in self.versions.values()
        }

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """Return status and body, both as the OpenAPI document has them."""
        if not path.startswith(self.base):
            return 404, {"code": "", "message": "404 page not found"}
        kind, *rest = path.removeprefix(self.base).strip("/").split("/")
        if method == "GET" and kind == "registered_models":
            return 200, _listed(self.models)
        if method == "GET":
            stored = {
                "registered_model": self.models,
                "model_version": self.versions,
                "model_artifact": self.artifacts,
            }
            found = [
                item
                for item in stored[kind].values()
                if item["name"] == query["name"] and item.get("_parent") == query.get("parentResourceId")
            ]
            return (200, found[0]) if found else (404, {"code": "404", "message": "no such thing"})
        if self.fail_after is not None and len(self.writes) >= self.fail_after:
            return 500, {"code": "500", "message": "the database is away"}
        self.writes.append(f"{method} {kind}")
        if method == "PATCH":
            store, model = {
                "registered_models": (self.models, api.RegisteredModelUpdate),
                "model_versions": (self.versions, api.ModelVersionUpdate),
            }[kind]
            store[rest[0]] |= model.from_dict(body).to_dict()
            return 200, store[rest[0]]
        if kind == "registered_models":
            return self._created(self.models, api.RegisteredModelCreate, api.RegisteredModel, body, None)
        if len(rest) == 2:  # model_versions/{id}/artifacts creates or changes
            made = api.Artifact.from_dict(body).actual_instance.to_dict()
            if "id" in made:
                self.artifacts[made["id"]] |= made
                return 200, self.artifacts[made["id"]]
            made |= {"id": str(100 + len(self.artifacts)), "_parent": rest[0]}
            self.artifacts[made["id"]] = made
            return 201, made
        parent = body["registeredModelId"]
        return self._created(self.versions, api.ModelVersionCreate, api.ModelVersion, body, parent)

    def _created(
        self, store: dict[str, dict[str, Any]], create: Any, full: Any, body: Any, parent: str | None
    ) -> tuple[int, Any]:
        made = create.from_dict(body).to_dict()
        if any(item["name"] == made["name"] and item.get("_parent") == parent for item in store.values()):
            return 409, {"code": "409", "message": f"{made['name']} exists"}
        item = full.from_dict(made | {"id": str(1 + len(store))}).to_dict()
        store[item["id"]] = item if parent is None else item | {"_parent": parent}
        return 201, store[item["id"]]


def _listed(store: dict[str, dict[str, Any]]) -> dict[str, Any]:
    items = list(store.values())
    return {"items": items, "nextPageToken": "", "pageSize": len(items), "size": len(items)}


@contextmanager
def model_registry_server(certificate: tuple[Path, Path] | None = None) -> Iterator[ModelRegistryServer]:
    """Run one; with a certificate and its key it speaks TLS."""
    state, lock = ModelRegistryServer(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            token = self.headers.get("Authorization")
            with lock:
                state.tokens.add(token)
                if state.required_token is not None and token != f"Bearer {state.required_token}":
                    status, answer = 401, {"code": "401", "message": "unauthorized"}
                else:
                    status, answer = state.answer(self.command, parts.path, query, body)
            shown = {k: v for k, v in answer.items() if not k.startswith("_")}
            content = json.dumps(shown).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = _handle  # noqa: N815  # as http.server calls them

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    state.address = f"{scheme}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
