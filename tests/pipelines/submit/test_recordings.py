"""What whole runs of a real server come to, as it answered; recordings stand beside the checkout, or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import kfp_server_api as api
import pytest

from pipelines.client import Connection
from pipelines.submit.job import _judged
from pipelines.submit.nodes import pods_of
from pipelines.submit.package import Package
from pipelines.submit.tasks import tasks_of
from tests.pipelines.submit.submission import ROOT, cached

ANSWERS = ROOT.parent / "shared" / "kubeflow" / "answers"
pytestmark = pytest.mark.skipif(not ANSWERS.is_dir(), reason="the recordings are not beside this checkout")


def flat(pipeline: str) -> Package:
    """Return a pipeline as it was when these runs were recorded: without groups, its verdicts numbered."""
    package = cached(pipeline)
    components = dict(package.spec["components"])
    numbered = {"require-validate": "require", "require-gate": "require-2", "for-loop-1": "for-loop-2"}

    def steps_of(component: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for name, task in component["dag"]["tasks"].items():
            inner = components[task["componentRef"]["name"]]
            if "dag" in inner and "parameterIterator" not in task:
                yield from steps_of(inner)
            else:
                # What it waits for is of no matter here, and would name the groups.
                yield numbered.get(name, name), {key: task[key] for key in task if key != "dependentTasks"}

    handler = components["comp-exit-handler-1"]
    components["comp-exit-handler-1"] = {"dag": {"tasks": dict(steps_of(handler))}}
    return replace(package, spec={**package.spec, "components": components})


def recorded(name: str) -> Any:
    data = (ANSWERS / f"{name}.json").read_text()
    return api.ApiClient().deserialize(SimpleNamespace(data=data), "V2beta1Run")


@pytest.mark.parametrize(
    ("name", "pipeline", "verdict", "words"),
    [
        ("run-green", "training", "passed", "and it was promoted"),
        ("run-cached", "training", "passed", "and it was promoted"),
        ("run-sharded", "training_sharded", "passed", "and it was promoted"),
        ("run-red", "training", "rejected", "not good enough"),
        ("run-wrong-change", "training", "failed", "configure"),
        ("run-terminated", "training", "cancelled", "somebody ended the run"),
        ("run-terminated-submitted", "training", "cancelled", "somebody ended the run"),
        ("run-recurring", "monitoring", "none", "ended well"),
    ],
)
def test_a_recorded_run_comes_to_what_it_was(name: str, pipeline: str, verdict: str, words: str) -> None:
    run, package = recorded(name), flat(pipeline)
    # Nobody answers there: no log can be read.
    nobody = Connection("http://127.0.0.1:9", "http://127.0.0.1:9", None, None, None)
    _, _, outcome = _judged(package, nobody, run, tasks_of(run, package.steps()))
    assert (outcome.verdict, words in outcome.reason) == (verdict, True), outcome


def test_the_pods_of_recorded_steps_are_those_that_the_list_names() -> None:
    for name, step in (("run-green", "gate"), ("run-red", "require-2"), ("run-sharded", "prepare-shard")):
        run = recorded(name)
        details = run.run_details.task_details
        listed = {child.pod_name for detail in details for child in detail.child_tasks or []}
        place = flat("training_sharded" if "sharded" in name else "training").places()[step]
        turns = 5 if place.loops else 1
        assert len([pod for pod in pods_of(run, place) if pod in listed]) == turns
