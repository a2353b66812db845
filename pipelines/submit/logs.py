"""What a step of a run printed, and the error in it.

There are three ways to a log, and which is open depends on the installation: the archived log as an
artifact of the pod, the server's log of a pod, and that of the pages' server. The first needs the nodes of
the workflow; the others a pod's name alone, and are open at any size of a run.
"""

from __future__ import annotations

import base64
import json
import math
import re
import time
from collections.abc import Callable
from typing import Any

import urllib3

from mome import errors
from mome.errors import MomeError
from pipelines.client import Connection
from pipelines.execution import TRACEBACK, failure_message
from pipelines.submit.nodes import pods_of
from pipelines.submit.package import Place

__all__ = ["ends_in_an_error", "error_of", "log_of"]

# Templates that kfp's compiler gives the pod of a step; a pod is called workflow-template-hash.
TEMPLATES = ("system-container-impl", "retry-system-container-impl")
MOST_PODS = 20  # that are asked for one log


def log_of(
    connection: Connection,
    run: Any,
    place: Place,
    wanted: Callable[[str], bool] = lambda _: True,
    until: float = math.inf,
) -> str | None:
    """Return the log of a step, or None where no way to it is open.

    Args:
        connection: To the server.
        run: kfp's ``V2beta1Run``.
        place: Of the step.
        wanted: Tells whether a log is the one; what has another is looked past.
        until: Moment of `time.monotonic` after which nothing is asked for any more.
    """
    for pod in pods_of(run, place)[:MOST_PODS]:
        # Each becomes part of an address.
        if all(re.fullmatch(r"[a-z0-9][a-z0-9.-]*", part) for part in (pod, run.run_id)):
            log = _log_of_node(connection, run, pod, until)
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


def ends_in_an_error(log: str) -> bool:
    """Tell whether a step ended in an error that it could still speak of."""
    return TRACEBACK in log
