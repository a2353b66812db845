"""What a run came to, as an exit code, a record and the words for it.

The run's own state decides first: our pipelines end well only if the gate said yes. States of its steps come
from a list that may stay behind (`pipelines.submit.tasks`), so that a step which is not in it, or open, says
nothing. What the gate decided is in its log, where that can be read at any size of a run, and so is the error
that ended a step: it tells a broken gate from a no. Artifacts, errors and pods of a task are missing from the
API of 2.17 (kubeflow/pipelines #9858, #14007). Where the run and the gate contradict each other, the verdict
is neither yes nor no, but that the run failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Literal

from pydantic import Field

from mome.records import Evaluation, GateDecision, Record
from pipelines.submit.package import Package
from pipelines.submit.tasks import UNKNOWN

__all__ = ["EXITS", "Exit", "Outcome", "Submission", "Verdict", "decide"]

Verdict = Literal["passed", "rejected", "failed", "cancelled", "none", "unfinished", "error"]
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
    steps: Mapping[str, str],
    broke: Mapping[str, str],
    gate: GateDecision | None = None,
) -> Outcome:
    """Return what a run that has ended came to.

    Args:
        package: Its pipeline.
        state: Of the run; ``CANCELED`` if somebody ended it.
        steps: State of each step, as far as the server's list goes.
        broke: Steps that failed, and the error that ended each, ``Kind: message``, as far as a log could be
            read.
        gate: What the gate decided, if its log could be read.
    """
    if state == "SUCCEEDED":
        return _ended_well(package, steps, gate)
    judge = package.judge("gate")
    failed = {name: _message(error) for name, error in broke.items()}
    said_no = (gate is not None and not gate.passed) or _kind(broke.get(judge or "", "")) == REJECTION
    if state == "CANCELED":
        # Whoever ends a run kills its pods: the step that was at work looks as if it had said no, or as if
        # its memory had been too small.
        if not said_no:
            return Outcome(verdict="cancelled", reason="somebody ended the run on the server")
        return Outcome(verdict="rejected", reason=_refusal(gate, failed.get(judge or "", "")), failed=failed)
    if judge is not None and judge in failed:
        if _kind(broke[judge]) not in ("", REJECTION):
            return Outcome(verdict="failed", reason=f"the gate broke: {broke[judge]}", failed=failed)
        if gate is not None and gate.passed:
            said = f": {failed[judge]}" if failed[judge] else ", and why cannot be read"
            reason = f"the gate passed the model, but step {judge} broke{said}"
            return Outcome(verdict="failed", reason=reason, failed=failed)
        return Outcome(verdict="rejected", reason=_refusal(gate, failed[judge]), failed=failed)
    if said_no:
        return Outcome(verdict="rejected", reason=_refusal(gate, ""), failed=failed)
    if _kind(broke.get(PROMOTE, "")) == REJECTION:  # the gate was asked again, against another champion
        return Outcome(verdict="rejected", reason=failed[PROMOTE], failed=failed)
    said = "; ".join(f"{name}: {message}" if message else name for name, message in failed.items())
    reason = said or f"the run ended as {state}, and the server does not say in which step"
    return Outcome(verdict="failed", reason=reason, failed=failed)


def _ended_well(package: Package, steps: Mapping[str, str], gate: GateDecision | None) -> Outcome:
    judge = package.judge("gate")
    if judge is None:
        return Outcome(verdict="none", reason="the run ended well; this pipeline has no gate")
    if gate is not None and not gate.passed:
        reason = f"the run ended well although the gate said no: {gate.reason}; look at what was promoted"
        return Outcome(verdict="failed", reason=reason)
    places = package.places()
    found = steps.get(judge, UNKNOWN)
    # A run that ends well went through the judge, unless the pipeline has a way around it.
    if found != "SUCCEEDED" and (found != UNKNOWN or not (places[judge].is_certain or gate)):
        said = "was never seen" if found == UNKNOWN else f"was {found.lower()}"
        return Outcome(verdict="failed", reason=f"the run ended without a decision: step {judge} {said}")
    promoted = PROMOTE in places and (places[PROMOTE].is_certain or steps.get(PROMOTE) == "SUCCEEDED")
    more = ", and it was promoted" if promoted else ""
    return Outcome(verdict="passed", reason=f"the gate passed the model{more}")


def _refusal(gate: GateDecision | None, said: str) -> str:
    if gate is not None and not gate.passed:
        return gate.reason
    return said or "the model is not good enough; its reason is in the gate's report"


def _kind(error: str) -> str:
    return error.partition(": ")[0]


def _message(error: str) -> str:
    return error.partition(": ")[2] if _kind(error) == REJECTION else error
