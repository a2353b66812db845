"""What a server of 2.17 writes down of the graphs of a run, and so what its exit handler is told.

- The driver of a step opens an entry for it, or writes down that its results come from the cache.
- The driver of a graph opens an entry for it, or writes down that its condition did not hold.
- The launcher of a step writes down how it ended, and then, from the graph around it outwards, which graphs
  have ended by that: with all of their steps, or with one that failed. Nobody else does.

So a step that is killed, a step from the cache that is alone in its graph and a condition that does not hold
last leave the graphs around them open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any, Literal

End = Literal["ended", "cached", "failed", "killed"]
STATES = {"COMPLETE": "SUCCEEDED", "FAILED": "FAILED", "RUNNING": "RUNNING"}


@dataclass
class _Graph:
    expected: int  # entries that it takes
    around: _Graph | None
    state: str = "RUNNING"
    entries: list[Any] = field(default_factory=list)  # graphs, or states of steps

    def update(self) -> None:
        states = [entry.state if isinstance(entry, _Graph) else entry for entry in self.entries]
        if sum(state in ("COMPLETE", "CACHED", "CANCELED") for state in states) == self.expected:
            self.state = "COMPLETE"
        elif "FAILED" in states:
            self.state = "FAILED"
        else:
            return
        if self.around is not None:
            self.around.update()


def told(
    spec: Mapping[str, Any],
    ends: Mapping[str, End] | None = None,
    *,
    holds: bool = False,
    turns: int = 3,
) -> str:
    """Return the state that the exit handler of a compiled pipeline gets.

    Args:
        spec: The pipeline.
        ends: How each step ends; one of a loop also as ``step:turn``. Those left out end well.
        holds: Whether conditions hold.
        turns: Of every loop.
    """
    ends = ends or {}

    def run(component: Mapping[str, Any], graph: _Graph, turn: str) -> bool:
        """Run the tasks of a graph; False if one did not end well, after which none begins."""
        tasks = component["dag"]["tasks"]
        before = {name: task.get("dependentTasks", ()) for name, task in tasks.items()}
        for name in TopologicalSorter(before).static_order():
            inner = spec["components"][tasks[name]["componentRef"]["name"]]
            if "dag" in inner:
                if not _group(name, tasks[name], inner, graph, turn):
                    return False
                continue
            end = ends.get(f"{name}{turn}", ends.get(name, "ended"))
            if end == "killed":
                graph.entries.append("RUNNING")
                return False
            graph.entries.append({"ended": "COMPLETE", "cached": "CACHED", "failed": "FAILED"}[end])
            if end != "cached":
                graph.update()
            if end == "failed":
                return False
        return True

    def _group(
        name: str, task: Mapping[str, Any], inner: Mapping[str, Any], around: _Graph, turn: str
    ) -> bool:
        if "condition" in task.get("triggerPolicy", {}) and not holds:
            around.entries.append("CANCELED")
            return True
        size = len(inner["dag"]["tasks"])
        if "parameterIterator" not in task:
            around.entries.append(graph := _Graph(size, around))
            return run(inner, graph, turn)
        around.entries.append(loop := _Graph(turns, around))
        pieces = [_Graph(size, loop) for _ in range(turns)]
        loop.entries += pieces
        # They run at the same time: one that fails keeps none of the others from its end.
        went_well = [run(inner, piece, f":{number}") for number, piece in enumerate(pieces)]
        return all(went_well)

    root = spec["root"]["dag"]["tasks"]
    (watched,) = [
        name for name, task in root.items() if task.get("triggerPolicy", {}).get("strategy") is None
    ]
    inner = spec["components"][root[watched]["componentRef"]["name"]]
    graph = _Graph(len(inner["dag"]["tasks"]), None)
    run(inner, graph, "")
    return STATES[graph.state]
