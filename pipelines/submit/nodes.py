"""The pods of a step, by the names that Argo gives its nodes.

A pod is called by a hash of its node's place in the workflow that carries a run out, for example
``mome-training-x2c78(0).root(0).exit-handler-1(0).gate(0).executor(0)``. ``(0)`` is the first attempt: since
2.17 the server's defaults let Argo try every node again, and each is wrapped in its attempts; without them
only the pods of steps with retries are. So the pods of a step are known from the pipeline, also where the
server's list of tasks stops: once a workflow has grown, Argo keeps its nodes compressed, and the server
reads no more of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pipelines.submit.package import Place

__all__ = ["pods_of"]

LEAST_ATTEMPTS = 3  # of the server's own defaults
WRAPPED = "root(0)"
TURN = re.compile(r"iteration-iterations\((\d+):\d+\)")


def pods_of(run: Any, place: Place) -> list[str]:
    """Return Argo's ids of the pods that a step may have had, those that the server tells of first.

    Args:
        run: kfp's ``V2beta1Run``.
        place: Of the step.
    """
    details = (run.run_details.task_details if run.run_details is not None else None) or []
    listed = {child.pod_name for detail in details for child in detail.child_tasks or [] if child.pod_name}
    workflow = next(iter(listed), "").rpartition("-")[0]
    if not workflow:
        return []
    names = {detail.display_name or "" for detail in details}
    wrapped = WRAPPED in names
    turns = 1 + max((int(turn[1]) for name in names if (turn := TURN.fullmatch(name))), default=0)
    pods: list[str] = []
    for node in _nodes(workflow, place, turns, wrapped=wrapped):
        # The newest first: it is the attempt that counted.
        numbers = reversed(range(max(LEAST_ATTEMPTS, place.attempts)))
        attempts = [f"{node}.executor({number})" for number in numbers]
        pods += [
            _id(workflow, attempt) for attempt in (attempts if wrapped else [*attempts, f"{node}.executor"])
        ]
    # Of the turns of a loop those that failed: a run that failed hangs on them.
    failed = {
        child.pod_name
        for detail in details
        if detail.display_name == "executor" and detail.state == "FAILED"
        for child in detail.child_tasks or []
    }
    return sorted(pods, key=lambda pod: (pod not in failed, pod not in listed))


def _nodes(workflow: str, place: Place, turns: int, *, wrapped: bool) -> Iterator[str]:
    """Return the names of the nodes of a step; in a loop there is one for each turn."""
    attempt = "(0)" if wrapped else ""
    if len(place.loops) > 1:  # nothing tells how often the inner one was run in each turn of the outer one
        return
    for turn in range(turns if place.loops else 1):
        node = f"{workflow}{attempt}.root{attempt}"
        for group in place.groups:
            node += f".{group}{attempt}"
            if group in place.loops:
                node += f".iteration-iterations({turn}:{turn}){attempt}.iteration-item{attempt}"
        yield f"{node}.{place.name}{attempt}"


def _id(workflow: str, node: str) -> str:
    """Return the id of a node: FNV-1a of 32 bits over its name, as Argo has it."""
    value = 0x811C9DC5
    for byte in node.encode():
        value = (value ^ byte) * 0x01000193 % 2**32
    return f"{workflow}-{value}"
