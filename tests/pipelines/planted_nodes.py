"""The list of tasks as a server of 2.17 makes it of the nodes of Argo's workflow, as it was recorded.

Every node of a step is in it by its display name alone; ids are there only as children of another node.
With the server's defaults each node is wrapped in its attempts:

    gate ── gate(0) ── executor ── executor(0)        executor(0) is the pod
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from typing import Any

import kfp_server_api as api

NEVER = datetime(1, 1, 1)

Groups = list[tuple[str, bool]]  # name of a graph around a step, and whether it is a loop
DEFAULT: Groups = [("exit-handler-1", False)]


def groups_of(spec: Mapping[str, Any]) -> dict[str, Groups]:
    """Return the graphs around each step of a compiled pipeline, the outermost first."""

    def walk(component: Mapping[str, Any], around: Groups) -> Iterator[tuple[str, Groups]]:
        for name, task in component["dag"]["tasks"].items():
            inner = spec["components"][task["componentRef"]["name"]]
            if "dag" in inner:
                yield from walk(inner, [*around, (name, "parameterIterator" in task)])
            else:
                yield name, around

    return dict(walk(spec["root"], []))


@dataclass(frozen=True)
class Workflow:
    """The workflow of one run.

    Args:
        name: Its name.
        wrapped: Whether the server's defaults let every node be tried again.
        retried: Without them: whether the steps have retries.
    """

    name: str
    wrapped: bool = True
    retried: bool = False

    @property
    def attempt(self) -> str:
        return "(0)" if self.wrapped else ""

    def node_id(self, node: str) -> str:
        """Return Argo's id: FNV-1a, 32 bits."""
        number = reduce(lambda sum_, byte: ((sum_ ^ byte) * 16777619) & 0xFFFFFFFF, node.encode(), 2166136261)
        return f"{self.name}-{number}"

    def node(self, step: str, groups: Groups, turn: int = 0) -> str:
        """Return the name of a step's node, without that of its attempt."""
        names = [self.name + self.attempt, "root" + self.attempt]
        for group, is_loop in groups:
            names.append(group + self.attempt)
            if is_loop:
                names += [
                    f"iteration-iterations({turn}:{turn}){self.attempt}",
                    f"iteration-item{self.attempt}",
                ]
        return ".".join([*names, step])

    def pod(self, step: str, groups: Groups, turn: int = 0) -> str:
        """Return the id of a step's pod."""
        attempt = "(0)" if self.wrapped or self.retried else ""
        return self.node_id(f"{self.node(step, groups, turn)}{self.attempt}.executor{attempt}")

    def tasks(
        self,
        states: Mapping[str, str | None],
        groups: Mapping[str, Groups],
        turns: int,
        failed_turn: int | None,
        began: datetime,
    ) -> list[Any]:
        """Return the entries of the list, of steps in these states; in a loop one turn of many may fail."""
        found: list[Any] = []

        def add(name: str, state: str | None, *children: str) -> None:
            found.append(
                api.V2beta1PipelineTaskDetail(
                    display_name=name,
                    state=state,
                    start_time=began,
                    end_time=began + timedelta(seconds=90) if state in ("SUCCEEDED", "FAILED") else NEVER,
                    child_tasks=[api.PipelineTaskDetailChildTask(pod_name=child) for child in children],
                )
            )

        add(self.name, "RUNNING", self.node_id(f"{self.name}{self.attempt}.root"))
        for group in {"root": None} | {group: None for each in groups.values() for group, _ in each}:
            for attempt in dict.fromkeys(("", self.attempt)):
                add(group + attempt, "RUNNING")
        found.append(api.V2beta1PipelineTaskDetail(execution_id="45", start_time=began, end_time=began))
        for step, joined in states.items():
            around = groups.get(step, DEFAULT)
            in_loop = any(is_loop for _, is_loop in around)
            for turn in range(turns if in_loop else 1):
                state = joined
                if in_loop:
                    if failed_turn not in (None, turn):
                        state = "SUCCEEDED"
                    add(f"iteration-iterations({turn}:{turn})", "SUCCEEDED")
                node = self.node(step, around, turn)
                executor = self.node_id(f"{node}{self.attempt}.executor")
                pod = self.pod(step, around, turn)
                add(f"{step}-driver", "SUCCEEDED")
                if state is None:  # never begun
                    add(step, None)
                    continue
                add(step, state, self.node_id(f"{node}(0)") if self.wrapped else executor)
                if self.wrapped:
                    add(f"{step}(0)", state, executor)
                add("executor", state, *([] if pod == executor else [pod]))
                if pod != executor:
                    add("executor(0)", state)
        return found
