"""A Kubeflow Pipelines server in memory that answers over HTTP by kfp-server-api's own models.

It keeps what is created, moves a run one look on whenever it is read, and can be told to fail: with a
status, or by doing what was asked and dropping the answer.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

import kfp_server_api as api
import yaml

from tests.pipelines.planted_nodes import DEFAULT, Groups, Workflow, groups_of

BEGAN = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
JSON = api.ApiClient().sanitize_for_serialization


@dataclass
class Fault:
    """An answer that goes wrong ``times`` times; after the deed, if ``lost``."""

    method: str
    path: str
    status: int = 503
    times: int = 1
    lost: bool = False
    late: bool = False  # what was asked for is there only when it is looked for a second time
    hang_s: float = 0.0  # before it answers
    message: str = ""


@dataclass
class Server:
    """What the server holds, what it is told to do, and what was asked of it."""

    token: str = "right"
    version: str = "2.17.0"
    multi_user: bool = False
    # What a run looks like, look by look: its state, and state by step.
    story: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    stories: dict[str, list[tuple[str, dict[str, str]]]] = field(default_factory=dict)  # of runs by id
    logs: dict[str, str] = field(default_factory=dict)  # by step
    log_route: str = "archive"
    wrapped: bool = True  # nodes in their attempts, as by the server's defaults
    retried: bool = False  # without them: steps are tried again
    stops_at: str = ""  # step at which the list of tasks stops for ever, for the workflow has grown
    turns: int = 3  # of a step in a loop
    failed_turn: int | None = None  # the only one of them that did not end well
    history: list[str] = field(default_factory=list)  # states that a run had
    faults: list[Fault] = field(default_factory=list)
    health: object = None
    experiments: list[Any] = field(default_factory=list)
    pipelines: list[Any] = field(default_factory=list)
    versions: list[Any] = field(default_factory=list)
    runs: list[Any] = field(default_factory=list)
    looks: int = 0
    busy: dict[str, int] = field(default_factory=dict)  # how often a run is listed before it ends
    terminated: list[str] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    coming: list[tuple[list[Any], Any, int]] = field(default_factory=list)
    is_late: bool = False
    address: str = ""

    def posts(self, ending: str) -> int:
        return sum(method == "POST" and path.endswith(ending) for method, path in self.asked)

    def fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.times and fault.method == method and re.search(fault.path, path):
                fault.times -= 1
                return fault
        return None

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: bytes, kind: str) -> Any:
        route = (method, path.removeprefix("/apis/v2beta1"))
        match route:
            case ("GET", "/healthz"):
                if self.health is not None:
                    return self.health
                store = {"multi_user": self.multi_user, "pipeline_store": "database"}
                return store | {"tag_name": self.version, "commit_sha": "4a3592c"}
            case ("GET", "/experiments"):
                found = self.filtered(self.experiments, query)
                return JSON(api.V2beta1ListExperimentsResponse(experiments=found))
            case ("POST", "/experiments"):
                return self.keep(self.experiments, api.V2beta1Experiment(experiment_id="e1", **names(body)))
            case ("GET", "/pipelines"):
                return JSON(api.V2beta1ListPipelinesResponse(pipelines=self.filtered(self.pipelines, query)))
            case ("POST", "/pipelines"):
                pipeline = api.V2beta1Pipeline(pipeline_id="p1", **names(body))
                self.check_free(self.pipelines, pipeline)
                return self.keep(self.pipelines, pipeline)
            case ("GET", "/pipelines/p1/versions"):
                found = self.filtered(self.versions, query)
                return JSON(api.V2beta1ListPipelineVersionsResponse(pipeline_versions=found))
            case ("POST", "/pipelines/upload_version"):
                version = api.V2beta1PipelineVersion(
                    pipeline_id=query["pipelineid"][0],
                    pipeline_version_id=f"v{len(self.versions) + 1}",
                    name=query["name"][0],
                    display_name=query["display_name"][0],
                    pipeline_spec=stored(uploaded(body, kind)),
                )
                self.check_free(self.versions, version)
                return self.keep(self.versions, version)
            case ("GET", "/runs"):
                return JSON(api.V2beta1ListRunsResponse(runs=self.filtered(self.runs, query)))
            case ("POST", "/runs"):
                sent = json.loads(body)
                run = api.V2beta1Run(
                    run_id=f"r{len(self.runs) + 1}",
                    display_name=sent["display_name"],
                    experiment_id=sent["experiment_id"],
                    runtime_config=sent["runtime_config"],
                    pipeline_version_reference=sent["pipeline_version_reference"],
                    created_at=BEGAN + timedelta(seconds=len(self.runs)),
                    state="PENDING",
                )
                return self.keep(self.runs, run)
        if found := re.fullmatch(r"/pipelines/p1/versions/v(\d+)", route[1]):
            return JSON(self.versions[int(found[1]) - 1])
        if found := re.fullmatch(r"/runs/(\w+)", route[1]):
            return JSON(self.now(found[1]))
        if found := re.fullmatch(r"/runs/(\w+):terminate", route[1]):
            if next(run for run in self.runs if run.run_id == found[1]).state in ("SUCCEEDED", "FAILED"):
                raise Refusal(
                    400, f"Failed to terminate a run: Failed to terminate run {found[1]}. Row not found"
                )
            self.terminated.append(found[1])
            # It is called failed in the end; its history alone says that somebody ended it.
            next(run for run in self.runs if run.run_id == found[1]).state = "FAILED"
            self.stories.setdefault(found[1], [("FAILED", {})])
            return {}
        return self.log(path, query)

    def now(self, run_id: str) -> Any:
        run = next(run for run in self.runs if run.run_id == run_id)
        story = self.stories.get(run_id, self.story)
        state, steps = story[min(self.looks, len(story) - 1)]
        self.looks += 1
        steps = dict(steps)
        if self.stops_at in steps:
            names = list(steps)
            steps = {name: steps[name] for name in names[: names.index(self.stops_at)]}
            steps[self.stops_at] = "RUNNING"
        run.state = state
        ended = ["CANCELING"] if run_id in self.terminated else []
        states = [*self.history, *ended, state]
        run.state_history = [api.V2beta1RuntimeStatus(state=each) for each in states]
        run.run_details = api.V2beta1RunDetails(
            task_details=self.workflow.tasks(steps, self.groups(run), self.turns, self.failed_turn, BEGAN)
        )
        if not steps:
            run.run_details = None
        return run

    @property
    def workflow(self) -> Workflow:
        return Workflow("mome-x", self.wrapped, self.retried)

    def groups(self, run: Any) -> dict[str, Groups]:
        reference = run.pipeline_version_reference
        version = reference.get("pipeline_version_id") if isinstance(reference, dict) else None
        specs = [each.pipeline_spec for each in self.versions if each.pipeline_version_id == version]
        return groups_of(specs[0].get("pipeline_spec", specs[0])) if specs else {}

    def log(self, path: str, query: dict[str, list[str]]) -> Any:
        archived = re.fullmatch(r"/apis/v2beta1/runs/(\w+)/nodes/(mome-x-\d+)/artifacts/main-logs:read", path)
        kept = re.fullmatch(
            r"/apis/v1alpha1/runs/(\w+)/nodes/(mome-x)-(?:retry-)?system-container-impl-(\d+)/log", path
        )
        if self.log_route == "pages" and path == "/k8s/pod/logs":
            pod = re.sub("-(?:retry-)?system-container-impl", "", query["podname"][0])
            return self.printed(query["runid"][0], pod)
        if self.log_route == "server" and kept:
            return self.printed(kept[1], f"{kept[2]}-{kept[3]}")
        # An artifact is looked for in the nodes of the workflow.
        if self.log_route == "archive" and archived and not self.stops_at:
            text = self.printed(archived[1], archived[2])
            return text and {"data": base64.b64encode(text.encode()).decode()}
        return None

    def printed(self, run_id: str, pod: str) -> str | None:
        """Return what a pod printed: the log of a step, or of ``step:turn``."""
        groups = self.groups(next(run for run in self.runs if run.run_id == run_id))
        for name, text in self.logs.items():
            step, _, turn = name.partition(":")
            around = groups.get(step, DEFAULT)
            turns = [int(turn)] if turn else range(self.turns)
            if pod in {self.workflow.pod(step, around, number) for number in turns}:
                return text
        return None

    def filtered(self, items: list[Any], query: dict[str, list[str]]) -> list[Any]:
        for kept, item, looks in list(self.coming):
            self.coming.remove((kept, item, looks))
            if looks == 1:
                kept.append(item)
            else:
                self.coming.append((kept, item, looks - 1))
        if "filter" not in query:
            for item in items:
                self.busy[item.run_id] = self.busy.get(item.run_id, 0) - 1
                if self.busy[item.run_id] == 0:
                    item.state = "SUCCEEDED"
            return items
        (predicate,) = json.loads(decoded_again(query["filter"][0]))["predicates"]
        assert (predicate["operation"], predicate["key"]) == ("EQUALS", "display_name")
        return [item for item in items if item.display_name == predicate["stringValue"]]

    def check_free(self, items: list[Any], new: Any) -> None:
        """Refuse a second pipeline or version of a name; runs and experiments may be called alike."""
        if new.display_name in [item.display_name for item in items]:
            raise Refusal(409, f"Already exist error: the name {new.display_name} already exist")

    def keep(self, items: list[Any], item: Any) -> Any:
        if self.is_late:
            self.coming.append((items, item, 2))
        else:
            items.append(item)
        return JSON(item)


class Refusal(Exception):
    """An answer that is no success: its status, and what it says."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def decoded_again(text: str) -> str:
    """Return a filter as the server reads it: it decodes the text of an address that was decoded before."""
    if wrong := re.search("%(?![0-9A-Fa-f]{2}).{0,2}", text):
        said = f'failed to parse valid filter from {json.dumps(text)}: invalid URL escape "{wrong[0]}"'
        raise Refusal(400, f"Failed to create list options: Invalid input error: {said}")
    return unquote_plus(text)


def names(body: bytes) -> dict[str, str]:
    sent = json.loads(body)
    return {key: sent[key] for key in ("display_name", "namespace") if key in sent}


def stored(text: str) -> dict[str, Any]:
    """Return what the server keeps of a file: one specification, or with Kubernetes' part two."""
    documents = list(yaml.load_all(text, Loader=yaml.CSafeLoader))
    return (
        dict(zip(("pipeline_spec", "platform_spec"), documents, strict=True))
        if documents[1:]
        else documents[0]
    )


def uploaded(body: bytes, kind: str) -> str:
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    (part,) = message.iter_parts()
    assert part.get_filename().endswith(".yaml")
    return part.get_content()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    planted: Server
    protocol_version = "HTTP/1.1"

    def handle_request(self) -> None:
        address = urlsplit(self.path)
        planted, path, query = self.planted, address.path, parse_qs(address.query)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        planted.asked.append((self.command, path))
        planted.headers.append({name.lower(): value for name, value in self.headers.items()})
        fault = planted.fault(self.command, path)
        if fault is not None and fault.hang_s:
            time.sleep(fault.hang_s)
            self.close_connection = True
            return None
        if fault is not None and not fault.lost:
            return self.reply(
                fault.status, {"code": 13, "message": fault.message or f"planted {fault.status}"}
            )
        if planted.token and self.headers.get("Authorization") != f"Bearer {planted.token}":
            return self.reply(401, {"code": 16, "message": "Request header error: there is no user identity"})
        planted.is_late = fault is not None and fault.late
        try:
            found = planted.answer(self.command, path, query, body, self.headers.get("Content-Type", ""))
        except Refusal as refusal:
            return self.reply(refusal.status, {"code": 3, "message": str(refusal)})
        if fault is not None:
            self.close_connection = True
            self.connection.close()
            return None
        if found is None:
            return self.reply(404, {"code": 5, "message": f"{path} not found"})
        return self.reply(200, found)

    do_GET = do_POST = handle_request  # noqa: N815 - names of http.server

    def reply(self, status: int, content: object) -> None:
        text = content if isinstance(content, str) else json.dumps(content)
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(content, str) else "application/json")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_values: object) -> None:
        pass


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    handler = type("PlantedHandler", (Handler,), {"planted": server})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        listener.daemon_threads = True
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        server.address = f"http://127.0.0.1:{listener.server_port}"
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()
