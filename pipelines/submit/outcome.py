"""What a run came to, as an exit code, a record and the words for it.

The gate's decision is read from the states of the run's tasks. That is what a server of 2.17 gives
away: artifacts of a task are missing from its API (kubeflow/pipelines #9858), the error and the pod of
a task are declared but empty (#14007), and its metadata store is about to go. A log says more, where
it can be read, and is taken for reasons and figures. It also tells a broken gate from a no: by the error
that ended its step, and by the decision that the gate wrote. Where states and that decision contradict each
other, the verdict is neither yes nor no, but that the run failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Literal

from pydantic import Field

from mome.records import Evaluation, GateDecision, Record
from pipelines.submit.package import Package
from pipelines.submit.tasks import Task

__all__ = ["EXITS", "Exit", "Outcome", "Submission", "Verdict", "decide"]

Verdict = Literal["passed", "rejected", "failed", "cancelled", "none", "unfinished", "error"]
FAILED = ("FAILED", "ERROR")
REJECTION = "GateRejected"
PROMOTE = "promote"


class Exit(IntEnum):
    """Exit codes of ``python -m pipelines.submit``."""

    PASSED = 0  # or nothing was to be decided: uploaded only, not waited for, no gate in the pipeline
    INPUT = 1  # parameters, package or payload are wrong; nothing was started
    USAGE = 2
    REJECTED = 3
    FAILED = 4  # the run, before the gate or after it, or it was cancelled on the server
    SERVER = 5  # away, too old, or does not let us in
    TIMEOUT = 6  # the run goes on, or it has not been its turn
    INTERRUPTED = 130


EXITS: dict[Verdict, Exit] = {  # of a run that began; an error has the code of its kind
    "passed": Exit.PASSED,
    "none": Exit.PASSED,
    "rejected": Exit.REJECTED,
    "failed": Exit.FAILED,
    "cancelled": Exit.FAILED,
    "unfinished": Exit.TIMEOUT,
}


class Outcome(Record):
    """Verdict on a submission."""

    verdict: Verdict
    reason: str
    failed: dict[str, str] = Field(default_factory=dict)  # step, and what it said last


class Submission(Record):
    """All that CI needs to know of a submission; ``--result`` writes it."""

    pipeline: str
    version: str
    pipeline_id: str = ""
    version_id: str = ""
    experiment: str = ""
    run: str = ""  # display name
    run_id: str = ""
    run_url: str = ""
    state: str = ""
    trigger: str = ""
    reason: str = ""  # for which it was started
    changes: dict[str, str] = Field(default_factory=dict)
    outcome: Outcome
    exit_code: int
    steps: dict[str, str] = Field(default_factory=dict)  # state by step
    seconds: dict[str, float] = Field(default_factory=dict)
    gate: GateDecision | None = None
    evaluation: Evaluation | None = None


def decide(
    package: Package,
    state: str,
    tasks: Mapping[str, Task],
    errors: Mapping[str, str],
    gate: GateDecision | None = None,
) -> Outcome:
    """Return what a run that has ended came to.

    Args:
        package: Its pipeline.
        state: Of the run.
        tasks: States of its steps; empty if the server gave none.
        errors: Last error of each failed step, ``Kind: message``, as far as a log could be read.
        gate: What the gate decided, if its log could be read.
    """
    judge = package.judge("gate")
    failed = {name: _message(errors.get(name, "")) for name, task in tasks.items() if task.state in FAILED}
    cancelled = state in ("CANCELED", "CANCELING")
    said_no = (gate is not None and not gate.passed) or _kind(errors.get(judge or "", "")) == REJECTION
    if judge is not None and judge in failed:
        if _kind(errors.get(judge, "")) not in ("", REJECTION):
            return Outcome(verdict="failed", reason=f"the gate broke: {errors[judge]}", failed=failed)
        if gate is not None and gate.passed:
            said = f": {failed[judge]}" if failed[judge] else ", and why cannot be read"
            reason = f"the gate passed the model, but step {judge} broke{said}"
            return Outcome(verdict="failed", reason=reason, failed=failed)
        # Whoever ends a run ends its pods: the step that was at work looks as if it had said no.
        if said_no or not cancelled:
            return Outcome(verdict="rejected", reason=_refusal(gate, failed[judge]), failed=failed)
    if cancelled and said_no:
        return Outcome(verdict="rejected", reason=_refusal(gate, ""), failed=failed)
    if cancelled:
        return Outcome(verdict="cancelled", reason="somebody ended the run on the server", failed=failed)
    if _kind(errors.get(PROMOTE, "")) == REJECTION:  # the gate was asked again, against another champion
        return Outcome(verdict="rejected", reason=failed[PROMOTE], failed=failed)
    if state != "SUCCEEDED":
        said = "; ".join(f"{name}: {message}" if message else name for name, message in failed.items())
        reason = said or f"the run ended as {state}, and the server does not say in which step"
        return Outcome(verdict="failed", reason=reason, failed=failed)
    if judge is None:
        return Outcome(verdict="none", reason="the run ended well; this pipeline has no gate")
    if tasks and (judge not in tasks or tasks[judge].state != "SUCCEEDED"):
        found = tasks[judge].state.lower() if judge in tasks else "never started"
        return Outcome(verdict="failed", reason=f"the run ended without a decision: step {judge} was {found}")
    if gate is not None and not gate.passed:
        reason = f"the run ended well although the gate said no: {gate.reason}; look at what was promoted"
        return Outcome(verdict="failed", reason=reason)
    return Outcome(verdict="passed", reason=_passed(package, tasks))


def _passed(package: Package, tasks: Mapping[str, Task]) -> str:
    if PROMOTE in package.steps() and PROMOTE in tasks and tasks[PROMOTE].state == "SUCCEEDED":
        return "the gate passed the model, and it was promoted"
    return "the gate passed the model"


def _refusal(gate: GateDecision | None, said: str) -> str:
    if gate is not None and not gate.passed:
        return gate.reason
    return said or "the model is not good enough; its reason is in the gate's report"


def _kind(error: str) -> str:
    return error.partition(": ")[0]


def _message(error: str) -> str:
    return error.partition(": ")[2] if _kind(error) == REJECTION else error
