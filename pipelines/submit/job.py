"""One submission from beginning to end."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mome.config import load_params
from mome.records import Evaluation, GateDecision
from pipelines.calls import Patience, ServerError, one_line
from pipelines.client import Connection, connect
from pipelines.submit.arguments import arguments, parse_changes
from pipelines.submit.outcome import EXITS, Exit, Outcome, Submission, decide
from pipelines.submit.package import Package, load_package, version_name
from pipelines.submit.publish import Publisher
from pipelines.submit.report import records_in
from pipelines.submit.tasks import Task, error_of, log_of, tasks_of
from pipelines.submit.triggers import Trigger, corpus_address, pointer_address, read_trigger
from pipelines.submit.watch import RunTimeout, watch

__all__ = ["Interrupted", "Plan", "execute", "plan"]

MOST_LOGS = 5  # of failed steps that are read
WAITING = Patience(attempts=20)  # nine minutes: longer than a server takes to be replaced


class Interrupted(KeyboardInterrupt):
    """The wait was broken off; the run is known."""

    def __init__(self, submission: Submission) -> None:
        super().__init__()
        self.submission = submission


@dataclass(frozen=True)
class Plan:
    """What is to be submitted; all of it is checked before a server is asked."""

    package: Package
    version: str
    arguments: Mapping[str, Any]
    changes: Mapping[str, str]  # what differs from params.yaml, for people
    trigger: str
    reason: str


@dataclass(frozen=True)
class Wishes:
    """How a plan is carried out.

    Args:
        experiment: Name of the experiment.
        key: Makes the run's name its own: the same key finds the run of an earlier attempt.
        wait: Whether to wait for the end of the run.
        upload_only: Start no run.
        every_s, at_most_s: The wait.
        end_on: ``interrupt`` and ``timeout``: what ends the run on the server.
        more: ``service_account`` and what else a run takes.
    """

    experiment: str
    key: str
    wait: bool
    upload_only: bool
    every_s: float
    at_most_s: float
    end_on: frozenset[str]
    more: Mapping[str, Any] = field(default_factory=dict)


def plan(
    source: str,
    *,
    params: Path,
    profile: str | None,
    changes: list[str],
    pointer: Path | None,
    trigger: str | None,
    version: str | None,
    tag: str | None,
    require_digests: bool,
) -> Plan:
    """Check all that is given and return what is to be submitted.

    Args:
        source: Name of a pipeline, or a compiled file.
        params: Sections of the run.
        profile: Whose sections stand in for those of ``params``.
        changes: ``name=value``.
        pointer: A ``.dvc`` file that names the corpus.
        trigger: Kind of the payload that `triggers.PAYLOAD` brings.
        version: Name of the version; from the commit if None.
        tag: Of a release.
        require_digests: Refuse images that are named by a tag.

    Raises:
        ConfigError: If anything of it is wrong.
    """
    package = load_package(source)
    if require_digests:
        package.require_digests()
    asked: Trigger = read_trigger(trigger) if trigger else Trigger()
    profile = profile or asked.asked_profile
    given = parse_changes(changes)
    corpus = given.get("corpus") or (pointer_address(pointer) if pointer else None)
    corpus = corpus_address(corpus, asked)
    if corpus is not None:
        given["corpus"] = corpus
    sections = asked.sections(load_params(params, profile).train)
    shown = {f"{part}.{key}": str(value) for part, found in sections.items() for key, value in found.items()}
    return Plan(
        package=package,
        version=version or version_name(package, tag),
        arguments=arguments(package, params, profile, given, sections),
        changes=shown | given,
        trigger=trigger or "",
        reason=asked.reason,
    )


def execute(job: Plan, connection: Connection, wishes: Wishes, patience: Patience) -> Submission:
    """Submit, wait if asked to, and return what it came to.

    Raises:
        ServerError: If the server cannot be reached or refuses.
        ConfigError: If the server has another pipeline under this version.
        Interrupted: If the wait was broken off.
    """
    client = connect(connection, patience)
    publisher = Publisher(client, connection.namespace, patience)
    pipeline_id, version_id = publisher.version(job.package, job.version, job.reason)
    known: dict[str, Any] = {
        "pipeline": job.package.name,
        "version": job.version,
        "pipeline_id": pipeline_id,
        "version_id": version_id,
        "trigger": job.trigger,
        "reason": job.reason,
        "changes": dict(job.changes),
    }
    _say(f"{job.package.name} {job.version} is on the server")
    if wishes.upload_only:
        return _told(known, Outcome(verdict="none", reason="uploaded; no run was asked for"))
    name = f"{job.package.name} {job.version} {wishes.key}"
    experiment_id = publisher.experiment(wishes.experiment)
    run = publisher.run(name, experiment_id, (pipeline_id, version_id), dict(job.arguments), **wishes.more)
    known |= {"experiment": wishes.experiment, "run": name, "run_id": run.run_id}
    known["run_url"] = connection.run_url(run.run_id)
    _say(f"run {run.run_id}: {known['run_url']}")
    if not wishes.wait:
        return _told(known, Outcome(verdict="none", reason="started; nobody waited for its end"))
    names = list(job.package.steps())
    waiting = Patience(WAITING.attempts, patience.first_wait_s, patience.longest_wait_s)
    try:
        run = watch(
            lambda: publisher.get(run.run_id, waiting),
            names,
            every_s=wishes.every_s,
            at_most_s=wishes.at_most_s,
        )
    except KeyboardInterrupt:
        ended = _left(publisher, run.run_id, "interrupt" in wishes.end_on)
        reason = f"the wait was interrupted; {ended}"
        raise Interrupted(
            _told(known, Outcome(verdict="unfinished", reason=reason), Exit.INTERRUPTED)
        ) from None
    except RunTimeout as error:
        ended = _left(publisher, run.run_id, "timeout" in wishes.end_on)
        reason = f"not finished after {wishes.at_most_s:g} s; {ended}"
        tasks = tasks_of(error.run, names)
        return _told(known | _states(error.run, tasks), Outcome(verdict="unfinished", reason=reason))
    except ServerError as error:  # the run is known, and whoever reads the result has to know it
        reason = f"{error}; {_left(publisher, run.run_id, end=False)}"
        return _told(known, Outcome(verdict="error", reason=reason), Exit.SERVER)
    return _judged(job.package, connection, run, tasks_of(run, names), known)


def _judged(
    package: Package, connection: Connection, run: Any, tasks: dict[str, Task], known: dict[str, Any]
) -> Submission:
    errors: dict[str, str] = {}
    for task in [task for task in tasks.values() if task.state == "FAILED"][:MOST_LOGS]:
        log = log_of(connection, run, task)
        if log is not None:
            errors[task.name] = error_of(log)
    evaluation: Evaluation | None = None
    gate: GateDecision | None = None
    for name in ("gate", "evaluate"):
        if name in tasks and evaluation is None:
            log = log_of(connection, run, tasks[name], lambda text: any(records_in(text)))
            evaluation, decision = records_in(log or "")
            gate = gate or decision
    outcome = decide(package, str(run.state).upper(), tasks, errors)
    if gate is not None and not gate.passed and outcome.verdict == "rejected":
        outcome = outcome.model_copy(update={"reason": gate.reason})
    return _told(known | _states(run, tasks) | {"evaluation": evaluation, "gate": gate}, outcome)


def _states(run: Any, tasks: Mapping[str, Task]) -> dict[str, Any]:
    return {
        "state": str(run.state or ""),
        "steps": {name: task.state for name, task in tasks.items()},
        "seconds": {name: task.seconds for name, task in tasks.items() if task.seconds is not None},
    }


def _told(known: Mapping[str, Any], outcome: Outcome, code: Exit | None = None) -> Submission:
    return Submission(**known, outcome=outcome, exit_code=EXITS[outcome.verdict] if code is None else code)


def _left(publisher: Publisher, run_id: str, end: bool) -> str:
    if end:
        publisher.terminate(run_id)
        return f"run {run_id} was told to end"
    return f"run {run_id} goes on; the same command with the same --key waits for it again"


def _say(line: str) -> None:
    print(one_line(line), file=sys.stderr, flush=True)
