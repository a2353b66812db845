"""Run a compiled pipeline on this machine: every step a process of its own, unchanged steps reused.

kfp.local does the work; this adds what a person needs in front of it: one line per stage instead of
pages of log, results that are reused only while code, parameters and inputs are the same, and an
error that says what went wrong instead of which task failed. See docs/adr/0003-local-cache.md.

A stage that judges (validate, gate) ends well on a cluster even if its verdict is a no, and a step
`require` ends the run (docs/adr/0008-verdicts-are-steps.md). Here the two are one stage. Steps that serve
the form and the chat of a cluster are no stages at all.
"""

from __future__ import annotations

import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from kfp import components, local
from kfp.local import task_dispatcher
from kfp.local.orchestrator import task_executor
from kfp.local.status import Status

from components.images import fingerprint
from mome import errors
from mome.errors import MomeError
from mome.machine.memory import NEARLY_USED_UP
from pipelines.cures import cured
from pipelines.graphs import graphs

__all__ = ["TRACEBACK", "Stage", "StageFailed", "execute", "failure_message", "pin_images"]

IMAGE = re.compile(r"(?:.*/)?mome-(?P<name>\w+)(?P<version>[:@].*)?")
JUDGES = re.compile(r"require-(?P<stage>\w+)")  # as pipelines.compile names them
TRACEBACK = "Traceback (most recent"
# What follows on a cluster: lines of the launcher (I1128 08:21:19.120345      17 launcher_v2.go:215] ...) and
# of Argo (time="..." level=info ..., or as JSON), and how the command ended.
NOT_OURS = re.compile(r"\s*([IWEF]\d{4} \d\d:\d\d:\d\d|time=|\{\"time\"|(Error: )?exit status \d)")
NO_STAGES = frozenset({"configure", "notify"})


@dataclass
class Stage:
    """One step of the pipeline and how it went."""

    name: str
    folder: Path  # where it writes its outputs, whole or not
    seconds: float = 0.0
    reused: bool = True
    outputs: dict[str, Any] = field(default_factory=dict)

    def path(self, output: str) -> Path:
        """Return the file or folder of an output artifact."""
        return Path(self.outputs[output].path)


class StageFailed(MomeError):
    """A step did not end well; its message is the one that the step gave."""

    def __init__(self, stage: Stage, message: str) -> None:
        super().__init__(message)
        self.stage = stage


def execute(
    pipeline: str,
    arguments: dict[str, Any],
    *,
    root: Path,
    log: Path,
    on_start: Callable[[Stage], None],
    on_end: Callable[[Stage], None],
) -> dict[str, Stage]:
    """Run a compiled pipeline and return its stages by name, in the order of running.

    Args:
        pipeline: YAML of the pipeline.
        arguments: Values of its parameters.
        root: Folder for outputs and for the memory of what was computed from what.
        log: File that takes all that kfp and the steps print.
        on_start: Called with every stage before it runs.
        on_end: Called with every stage when it is done, or was reused.

    Raises:
        StageFailed: If a step fails.
    """
    stages: dict[str, Stage] = {}
    log.parent.mkdir(parents=True, exist_ok=True)
    local.init(
        local.SubprocessRunner(use_venv=False),
        pipeline_root=str(root),
        workspace_root=str(root / ".workspace"),
        enable_caching=True,
    )
    pinned = pin_images(pipeline)
    run = components.load_component_from_text(pinned)
    failures: list[StageFailed] = []
    with (
        log.open("w", buffering=1) as stream,
        cured(),
        _watched(stages, failures, _judged(pinned), log, on_start, on_end),
        warnings.catch_warnings(),
        redirect_stdout(stream),
    ):
        # Said for every image whose name does not hold "python"; the images here are our own.
        warnings.filterwarnings("ignore", "You may be attemping to run a task", RuntimeWarning)
        # Resources and titles are a cluster's business.
        warnings.filterwarnings("ignore", "Task .* have no effect in the current local runner", UserWarning)
        try:
            run(**arguments)
        except RuntimeError:
            if not failures:
                raise
    if failures:
        raise failures[0]
    return stages


def pin_images(pipeline: str) -> str:
    """Make a compiled pipeline one of this machine: images tagged by what they hold, nothing tried again.

    What the cluster gives that it was compiled for says nothing about this machine.

    kfp.local does not start the image, but its name is part of what a reused result depends on.
    """
    spec, *platform = yaml.safe_load_all(pipeline)
    for executor in spec["deploymentSpec"]["executors"].values():
        found = IMAGE.fullmatch(executor["container"]["image"])
        if found is not None:
            name = found["name"]
            executor["container"]["image"] = f"mome-{name}:source-{fingerprint(name)}"
    for tasks in graphs(spec):
        for task in tasks.values():
            if "gpus" in (given := task.get("inputs", {}).get("parameters", {})):
                given["gpus"] = {"runtimeValue": {"constant": {}}}
            task.pop("retryPolicy", None)  # nobody takes a machine away here; a failure is one at once
    return str(yaml.safe_dump_all([spec, *platform], sort_keys=False))


def _judged(pipeline: str) -> set[str]:
    """Return the tasks whose verdict a `require` waits for."""
    spec = next(yaml.safe_load_all(pipeline))
    names = [name for tasks in graphs(spec) for name in tasks]
    return {found["stage"] for name in names if (found := JUDGES.fullmatch(name))}


@contextmanager
def _watched(
    stages: dict[str, Stage],
    failures: list[StageFailed],
    judged: set[str],
    log: Path,
    on_start: Callable[[Stage], None],
    on_end: Callable[[Stage], None],
) -> Iterator[None]:
    """Call back around every stage: kfp.local itself tells of tasks only by its log lines.

    A failure is noted and not raised, so that kfp.local still runs the exit handler.
    """
    execute_task, run_task = task_executor.execute_single_task, task_dispatcher.run_single_task_implementation
    undecided: dict[str, Stage] = {}

    def observed(**task: Any) -> tuple[dict[str, Any], Status]:
        name = task["task_name"]
        folder = Path(task["pipeline_root"]) / task["pipeline_resource_name"] / name
        verdict = JUDGES.fullmatch(name)
        stage = undecided.pop(verdict["stage"]) if verdict else Stage(name.replace("-", "_"), folder)
        is_stage = verdict is None and name not in NO_STAGES
        logged = log.stat().st_size
        if is_stage:
            on_start(stage)
        started = time.monotonic()
        current.stage = stage if is_stage else None
        outputs, status = execute_task(**task)
        stage.seconds += time.monotonic() - started
        if status != Status.SUCCESS:
            with log.open(errors="replace") as stream:
                stream.seek(logged)
                failures.append(StageFailed(stage, failure_message(stream.read())))
            return outputs, status
        if is_stage:
            stage.outputs = outputs
        if name in judged:
            undecided[name] = stage
        elif name not in NO_STAGES:
            stages[stage.name] = stage
            on_end(stage)
        return outputs, status

    def computed(**task: Any) -> Any:
        if current.stage is not None:
            current.stage.reused = False
        return run_task(**task)

    current = threading.local()  # the shards of a parallel loop run side by side
    task_executor.execute_single_task = observed
    task_dispatcher.run_single_task_implementation = computed
    try:
        yield
    finally:
        task_executor.execute_single_task = execute_task
        task_dispatcher.run_single_task_implementation = run_task


def failure_message(output: str) -> str:
    """Return what a failed step said last: the message of the error that ended it.

    An error that a person can mend (`mome.errors`) speaks for itself; any other is named, for it is
    our own mistake and the log holds its traceback.
    """
    lines = output.splitlines()
    starts = [number for number, line in enumerate(lines) if line.lstrip().startswith(TRACEBACK)]
    if not starts:
        if short := [line for line in lines if NEARLY_USED_UP in line]:
            return f"the step was killed: {short[-1].strip()}"
        return "the step ended without a word, as a process does that was killed (out of memory?)"
    # kfp.local indents what a step prints, the more the deeper its graph lies.
    indent = lines[starts[-1]].partition("Traceback")[0]
    rest = [line.removeprefix(indent) for line in lines[starts[-1] + 1 :]]
    end = next((number for number, line in enumerate(rest) if not line.startswith(" ") and line), len(rest))
    # The message may have several lines; then kfp.local's own log goes on, or a cluster's.
    said = list(_own_lines(rest[end:]))
    if not said:
        return "the step ended in the middle of a traceback"
    kind, _, message = " ".join(said).partition(": ")
    name = kind.rpartition(".")[2]
    return message if name in errors.__all__ and message else f"unexpected {name}: {message}"


def _own_lines(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if not line.strip() or NOT_OURS.match(line):
            return
        yield line.strip()
