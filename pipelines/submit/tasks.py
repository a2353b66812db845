"""The steps of a run as the server tells of them: states, times, and the log of the one that matters.

The server lists the nodes of the Argo workflow that carries the run out: beside each step there are its
driver and its pod (``executor``), and every node names its children by Argo's ids.
"""

from __future__ import annotations

import base64
import json
import math
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import urllib3

from mome import errors
from mome.errors import MomeError
from pipelines.client import Connection
from pipelines.execution import failure_message

__all__ = ["Task", "error_of", "log_of", "tasks_of"]

# Of the states of several nodes of one step, as in a loop, the first that is there counts.
ORDER = ("FAILED", "RUNNING", "PENDING", "PAUSED", "CANCELING", "CANCELED", "SUCCEEDED", "SKIPPED")
# Templates that kfp's compiler gives the pod of a step; a pod is called workflow-template-hash.
MOST_NODES = 20  # that are asked for one log
TEMPLATES = ("system-container-impl", "retry-system-container-impl")


@dataclass(frozen=True)
class Task:
    """One step of a run; in a loop all its turns together."""

    name: str
    state: str
    started: datetime | None
    ended: datetime | None
    done: int  # turns that ended well
    turns: int
    nodes: tuple[str, ...]  # Argo's ids of its pods
    attempts: tuple[str, ...]  # and of pods that may be attempts of it, where steps are tried again

    @property
    def seconds(self) -> float | None:
        """How long it took, None while it has not ended."""
        if self.started is None or self.ended is None or self.ended < self.started:
            return None
        return (self.ended - self.started).total_seconds()


def tasks_of(run: Any, names: Iterable[str]) -> dict[str, Task]:
    """Return the steps that the run has begun, in the order of ``names``.

    Args:
        run: kfp's ``V2beta1Run``.
        names: Of the pipeline's steps.
    """
    details = (run.run_details.task_details if run.run_details is not None else None) or []
    found = {}
    for name in names:
        nodes = [detail for detail in details if detail.display_name == name]
        if nodes:
            found[name] = _joined(name, nodes, details)
    return found


def _joined(name: str, nodes: Sequence[Any], details: Sequence[Any]) -> Task:
    states = [str(node.state or "PENDING").upper() for node in nodes]
    state = next((state for state in ORDER if state in states), states[0])
    if state == "PENDING" and "SUCCEEDED" in states:
        state = "RUNNING"  # some turns of a loop are done, others have not begun
    # With retries the child of a step is a node whose children are the attempts. The server does not
    # say which such node is whose, so those of its state are candidates.
    attempts = [detail for detail in details if detail.display_name == "executor" and detail.state == state]
    return Task(
        name=name,
        state=state,
        started=min((node.start_time for node in nodes if _real(node.start_time)), default=None),
        ended=max((node.end_time for node in nodes if _real(node.end_time)), default=None),
        done=states.count("SUCCEEDED"),
        turns=len(nodes),
        nodes=_children(nodes),
        attempts=_children(attempts),
    )


def _children(nodes: Iterable[Any]) -> tuple[str, ...]:
    return tuple(child.pod_name for node in nodes for child in node.child_tasks or [] if child.pod_name)


def _real(moment: datetime | None) -> bool:
    # What has not happened yet is given as a moment at or before the epoch.
    return moment is not None and moment.year > 1970


def log_of(
    connection: Connection,
    run: Any,
    task: Task,
    wanted: Callable[[str], bool] = lambda _: True,
    until: float = math.inf,
) -> str | None:
    """Return the log of a step, or None where no way to it is open.

    There are three ways, and which is open depends on the installation: the archived log as an
    artifact of the pod, the server's log of a pod, and that of the pages' server.

    Args:
        connection: To the server.
        run: kfp's ``V2beta1Run``.
        task: The step.
        wanted: Tells whether a log is the one; what has another is looked past.
        until: Moment of `time.monotonic` after which nothing is asked for any more.
    """
    # The newest first: it is the attempt that counted.
    for node in [*reversed(task.nodes), *reversed(task.attempts)][:MOST_NODES]:
        # Each becomes part of an address.
        if all(re.fullmatch(r"[a-z0-9][a-z0-9.-]*", part) for part in (node, run.run_id)):
            log = _log_of_node(connection, run, node, until)
            if log is not None and wanted(log):
                return log
    return None


def _log_of_node(connection: Connection, run: Any, node: str, until: float) -> str | None:
    own = f"/runs/{run.run_id}/nodes"
    archived = _text(connection, f"/apis/v2beta1{own}/{node}/artifacts/main-logs:read", {}, until)
    if archived is not None:
        return archived
    workflow, _, number = node.rpartition("-")
    for template in TEMPLATES:
        pod = f"{workflow}-{template}-{number}"
        log = _text(connection, f"/apis/v1alpha1{own}/{pod}/log", {}, until)
        if log is not None:
            return log
        query = {"podname": pod, "runid": run.run_id}
        if run.created_at:
            query["createdat"] = run.created_at.strftime("%Y-%m-%d")
        if connection.namespace:
            query["podnamespace"] = connection.namespace
        log = _text(connection, "/k8s/pod/logs", query, until)
        if log is not None:
            return log
    return None


def _text(connection: Connection, path: str, query: dict[str, str], until: float) -> str | None:
    if time.monotonic() >= until:
        return None
    try:
        kind, content = connection.get(path, query, until=until)
    except (MomeError, urllib3.exceptions.HTTPError):
        return None
    if "html" in kind:  # the pages' server answers with its page where it knows no such path
        return None
    if path.endswith(":read"):
        try:
            content = base64.b64decode(json.loads(content)["data"])
        except (ValueError, KeyError, TypeError):
            return None
    text = content.decode(errors="replace")
    return text if text.strip() else None


def error_of(log: str) -> str:
    """Return the error that ended a step as ``Kind: message``, one of ours by its name alone."""
    message = failure_message(log)
    kinds = re.findall(rf"^\s*(?:[\w.]+\.)?({'|'.join(errors.__all__)}): ", log, re.MULTILINE)
    return message if message.startswith("unexpected ") or not kinds else f"{kinds[-1]}: {message}"
