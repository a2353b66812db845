"""One submission from beginning to end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mome.errors import MomeError
from mome.records import Evaluation, GateDecision
from pipelines.calls import Patience, one_line
from pipelines.client import Connection, connect
from pipelines.submit.logs import ends_in_an_error, error_of, log_of
from pipelines.submit.outcome import EXITS, PROMOTE, Exit, Outcome, Submission, decide
from pipelines.submit.package import Package, Place
from pipelines.submit.plan import Plan
from pipelines.submit.publish import Publisher
from pipelines.submit.report import records_in
from pipelines.submit.start import BROKEN, Order, newest, start
from pipelines.submit.tasks import ENDED, UNKNOWN, Task, is_ended_by_somebody, tasks_of
from pipelines.submit.watch import RunTimeout, watch

__all__ = ["Interrupted", "Wishes", "execute"]

MOST_LOGS = 5  # of failed steps that are read
LOGS_S = 120.0  # for all logs together: they say why, the verdict does not wait for them
WAITING = Patience(attempts=20)  # nine minutes: longer than a server takes to be replaced
STARTING_S = 60.0  # that all before the wait is given, however short the wait
LEAVING_S = 20.0  # to end a run that nobody waits for any more; CI kills what takes longer
LOOKS = 3  # for a run that was being started when the interruption came


class Interrupted(KeyboardInterrupt):
    """The wait was broken off; what is known is told."""

    def __init__(self, submission: Submission) -> None:
        super().__init__()
        self.submission = submission


@dataclass(frozen=True)
class Wishes:
    """How a plan is carried out.

    Args:
        experiment: Name of the experiment.
        key: Makes the run's name its own: the same key finds the run of an earlier attempt.
        wait: Whether to wait for the end of the run.
        upload_only: Start no run.
        in_turn: Start it when no other run of the experiment is at work.
        every_s, at_most_s: The wait; all of the submission keeps to it.
        end_on: ``interrupt`` and ``timeout``: what ends the run on the server.
        more: ``service_account`` and what else a run takes.
    """

    experiment: str
    key: str
    wait: bool
    upload_only: bool
    in_turn: bool
    every_s: float
    at_most_s: float
    end_on: frozenset[str]
    more: Mapping[str, Any] = field(default_factory=dict)


def execute(job: Plan, connection: Connection, wishes: Wishes, patience: Patience) -> Submission:
    """Submit, wait if asked to, and return what it came to.

    Raises:
        ServerError: If the server cannot be reached or refuses before a run could be started.
        ConfigError: If the server has another pipeline under this version.
        Interrupted: If the wait was broken off.
    """
    now = time.monotonic()
    until = now + wishes.at_most_s
    patience = replace(patience, until=max(until, now + STARTING_S))
    client = connect(connection, patience)
    publisher = Publisher(client, connection.namespace, patience)
    pipeline = publisher.version(job.package, job.version, job.reason)
    known: dict[str, Any] = {
        "pipeline": job.package.name,
        "version": job.version,
        "pipeline_id": pipeline[0],
        "version_id": pipeline[1],
        "trigger": job.trigger,
        "reason": job.reason,
        "changes": dict(job.changes),
    }
    _say(f"{job.package.name} {job.version} is on the server")
    if wishes.upload_only:
        return _told(known, Outcome(verdict="none", reason="uploaded; no run was asked for"))
    order = Order(
        name=f"{job.package.name} {job.version} {wishes.key}",
        experiment_id=publisher.experiment(wishes.experiment),
        pipeline=pipeline,
        arguments=job.arguments,
        more=wishes.more,
    )
    known |= {"experiment": wishes.experiment, "run": order.name}
    return _Wait(job.package, connection, publisher, order, wishes, until, known).result()


@dataclass
class _Wait:
    """The run of one submission, from its start to its end, and whatever comes between."""

    package: Package
    connection: Connection
    publisher: Publisher
    order: Order
    wishes: Wishes
    until: float
    known: dict[str, Any]
    run: Any = None  # once it is there

    def result(self) -> Submission:
        names = list(self.package.steps())
        patience = self.publisher.patience
        patient = replace(WAITING, first_wait_s=patience.first_wait_s, until=self.until)
        try:
            self._start()
            if not self.wishes.wait:
                return self._told("none", "started; nobody waited for its end")
            run = watch(
                lambda: self.publisher.get(self.run.run_id, patient),
                names,
                every_s=self.wishes.every_s,
                until=self.until,
            )
        except KeyboardInterrupt:
            self._look_again()
            reason = f"interrupted; {self._left('interrupt')}"
            raise Interrupted(self._told("unfinished", reason, Exit.INTERRUPTED)) from None
        except RunTimeout as error:
            if error.run is not None:
                self.known |= _states(error.run, tasks_of(error.run, names))
            said = f"{error.reason}; " if error.reason else ""
            reason = f"not finished after {self.wishes.at_most_s:g} s; {said}{self._left('timeout')}"
            return self._told("unfinished", reason)
        except MomeError as error:  # the run is known, and whoever reads the result has to know it
            return self._told("error", f"{error}; {self._left('error')}", Exit.SERVER)
        tasks = tasks_of(run, names)
        evaluation, gate, outcome = _judged(self.package, self.connection, run, tasks)
        more = {"evaluation": evaluation, "gate": gate}
        return _told(self.known | _states(run, tasks) | more, outcome)

    def _start(self) -> None:
        run = start(
            self.publisher,
            self.order,
            self._is_no,
            in_turn=self.wishes.in_turn,
            every_s=self.wishes.every_s,
            until=self.until,
        )
        self._take(run)
        _say(f"run {run.run_id}: {self.known['run_url']}")

    def _take(self, run: Any) -> None:
        self.run = run
        self.known |= {"run": run.display_name, "run_id": run.run_id}
        self.known["run_url"] = self.connection.run_url(run.run_id)

    def _is_no(self, found: Any) -> bool:
        run = self.publisher.get(found.run_id)
        tasks = tasks_of(run, self.package.steps())
        return _judged(self.package, self.connection, run, tasks)[2].verdict == "rejected"

    def _look_again(self) -> None:
        """Find the run whose start was interrupted: the server may have heard of it all the same."""
        patience = self._hurry()
        for look in range(LOOKS):
            if self.run is not None:
                return
            try:
                found = newest(replace(self.publisher, patience=patience), self.order)
            except MomeError:
                return
            if found is not None and str(found.state or "").upper() not in (*ENDED, *BROKEN):
                self._take(found)
            elif look + 1 < LOOKS:
                patience.wait(look)

    def _left(self, cause: str) -> str:
        """End the run if that is wished for, and say what becomes of it."""
        if self.run is None:
            known = "no run was started" if cause == "timeout" else "no run is known of"
            return f"{known}; the same command with the same --key finds or starts it"
        run_id = self.run.run_id
        if cause in self.wishes.end_on:
            try:
                replace(self.publisher, patience=self._hurry()).terminate(run_id)
            except MomeError as error:
                return f"run {run_id} should end, but goes on: {error}"
            return f"run {run_id} was told to end"
        return f"run {run_id} goes on; the same command with the same --key waits for it again"

    def _hurry(self) -> Patience:
        first = self.publisher.patience.first_wait_s
        return Patience(attempts=LOOKS, first_wait_s=first, until=time.monotonic() + LEAVING_S)

    def _told(self, verdict: Any, reason: str, code: Exit | None = None) -> Submission:
        return _told(self.known, Outcome(verdict=verdict, reason=reason), code)


def _judged(
    package: Package, connection: Connection, run: Any, tasks: Mapping[str, Task]
) -> tuple[Evaluation | None, GateDecision | None, Outcome]:
    """Return the word error table and the decision, as far as logs tell, and what the run came to."""
    reading = _Reading(package.places(), connection, run, time.monotonic() + LOGS_S)
    evaluation, gate = reading.records("gate", 1)
    if evaluation is None:
        evaluation = reading.records("evaluate", 0)[0]
    failed = [name for name, task in tasks.items() if task.state == "FAILED"]
    is_cancelled = is_ended_by_somebody(run)
    if not failed and run.state == "FAILED" and not is_cancelled:
        failed = reading.broken(tasks)
    # First those that the verdict hangs on.
    failed.sort(key=lambda name: name not in (package.judge("gate"), PROMOTE))
    errors = {name: error_of(log) for name in failed[:MOST_LOGS] if (log := reading.log(name))}
    broke = dict.fromkeys(failed, "") | errors
    state = "CANCELED" if is_cancelled else str(run.state).upper()
    states = {name: task.state for name, task in tasks.items()}
    return evaluation, gate, decide(package, state, states, broke, gate)


@dataclass(frozen=True)
class _Reading:
    """Logs of a run's steps, until time is over."""

    places: Mapping[str, Place]
    connection: Connection
    run: Any
    until: float

    def log(self, name: str, wanted: Callable[[str], bool] = lambda _: True) -> str | None:
        place = self.places.get(name)
        return None if place is None else log_of(self.connection, self.run, place, wanted, self.until)

    def records(self, name: str, wanted: int) -> tuple[Evaluation | None, GateDecision | None]:
        return records_in(self.log(name, lambda text: records_in(text)[wanted] is not None) or "")

    def broken(self, tasks: Mapping[str, Task]) -> list[str]:
        """Return the step that failed behind the end of the server's list, as far as logs tell."""
        silent = [name for name in self.places if name not in tasks or tasks[name].state == UNKNOWN]
        # The last that printed anything: no other begins after one that failed. What tells of the end, and
        # runs behind it, did not fail.
        for name in reversed(silent):
            log = self.log(name)
            if log is not None and ends_in_an_error(log):
                return [name]
        return []


def _states(run: Any, tasks: Mapping[str, Task]) -> dict[str, Any]:
    return {
        "state": str(run.state or ""),
        "steps": {name: task.state for name, task in tasks.items()},
        "seconds": {name: task.seconds for name, task in tasks.items() if task.seconds is not None},
    }


def _told(known: Mapping[str, Any], outcome: Outcome, code: Exit | None = None) -> Submission:
    return Submission(**known, outcome=outcome, exit_code=EXITS[outcome.verdict] if code is None else code)


def _say(line: str) -> None:
    print(one_line(line), file=sys.stderr, flush=True)
