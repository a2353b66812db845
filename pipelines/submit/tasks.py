"""The steps of a run as the server tells of them: states and times.

The server lists the nodes of the Argo workflow that carries the run out: beside each step there are its
driver, its attempts (``gate(0)``) and its pod (``executor``). The list may stay behind for ever: its last
steps still run when the run has ended, and once the workflow has grown nothing is added any more. So what is
open in the list of a run that has ended is unknown, and what is not in it may have run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

__all__ = ["ENDED", "UNKNOWN", "Task", "is_ended_by_somebody", "tasks_of"]

ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED")
UNKNOWN = "UNKNOWN"  # what the list of a run that has ended left open
# Of the states of several nodes of one step, as in a loop, the first that is there counts.
ORDER = ("FAILED", "RUNNING", "PENDING", "PAUSED", "CANCELING", "CANCELED", "SUCCEEDED", "SKIPPED")


@dataclass(frozen=True)
class Task:
    """One step of a run; in a loop all its turns together."""

    name: str
    state: str
    started: datetime | None
    ended: datetime | None
    done: int  # turns that ended well
    turns: int

    @property
    def seconds(self) -> float | None:
        """How long it took, None where its end is not known."""
        if self.started is None or self.ended is None or self.ended < self.started or self.state not in ENDED:
            return None
        return (self.ended - self.started).total_seconds()


def tasks_of(run: Any, names: Iterable[str]) -> dict[str, Task]:
    """Return the steps that the server's list has begun, in the order of ``names``.

    Args:
        run: kfp's ``V2beta1Run``.
        names: Of the pipeline's steps.
    """
    details = (run.run_details.task_details if run.run_details is not None else None) or []
    has_ended = str(run.state or "").upper() in ENDED
    found = {}
    for name in names:
        # Of what will not be run any more there are nodes, too, without a state.
        nodes = [detail for detail in details if detail.display_name == name and detail.state in ORDER]
        if nodes:
            found[name] = _joined(name, nodes, has_ended)
    return found


def is_ended_by_somebody(run: Any) -> bool:
    """Tell whether somebody ended the run on the server, which calls it failed afterwards."""
    states = [run.state, *(moment.state for moment in run.state_history or [])]
    return run.state != "SUCCEEDED" and any(state in ("CANCELING", "CANCELED") for state in states)


def _joined(name: str, nodes: Sequence[Any], has_ended: bool) -> Task:
    states = [str(node.state) for node in nodes]
    state = next(state for state in ORDER if state in states)
    if state == "PENDING" and "SUCCEEDED" in states:
        state = "RUNNING"  # some turns of a loop are done, others have not begun
    if has_ended and state not in ENDED:
        state = UNKNOWN
    return Task(
        name=name,
        state=state,
        started=min((node.start_time for node in nodes if _real(node.start_time)), default=None),
        ended=max((node.end_time for node in nodes if _real(node.end_time)), default=None),
        done=states.count("SUCCEEDED"),
        turns=len(nodes),
    )


def _real(moment: datetime | None) -> bool:
    # What has not happened yet is given as a moment at or before the epoch.
    return moment is not None and moment.year > 1970
