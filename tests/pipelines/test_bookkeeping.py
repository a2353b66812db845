"""What `notify` is told by the server's book-keeping, and what people are told by `notify`."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl

from components import catalogue
from mome.config import load_params
from mome.webhook import NOTIFY_URL
from pipelines.compile import PIPELINES, compile_pipeline
from tests.pipelines.bookkeeping import End, told
from tests.pipelines.planted_nodes import groups_of

ROOT = Path(__file__).parents[2]
SPECS: dict[str, Any] = {
    name: next(yaml.safe_load_all(compile_pipeline(name, load_params(ROOT / "params.yaml"))))
    for name in PIPELINES
}
STEPS = [(name, step) for name in PIPELINES for step in groups_of(SPECS[name]) if step != "notify"]
REUSABLE = [
    (name, step)
    for name in PIPELINES
    for component in (SPECS[name]["root"], *SPECS[name]["components"].values())
    for step, task in component.get("dag", {}).get("tasks", {}).items()
    if (name, step) in STEPS and task["cachingOptions"].get("enableCache")
]
# In the runs that were recorded: reused by the second one.
REUSED = ("prepare", "validate", "build-foundation", "train", "evaluate")


@dsl.component(base_image="mome-monitor:1", install_kfp_package=False)
def look() -> bool:
    return False


@dsl.component(base_image="mome-monitor:1", install_kfp_package=False)
def act() -> None:
    pass


@dsl.pipeline(name="conditional")
def conditional() -> None:
    with dsl.ExitHandler(act()):
        looked = look()
        with dsl.If(looked.output == True):  # noqa: E712 - kfp compares
            act()


def test_the_model_says_what_was_seen_on_a_server(tmp_path: Path) -> None:
    training, sharded = SPECS["training"], SPECS["training_sharded"]
    assert told(training) == "SUCCEEDED"
    assert told(training, dict.fromkeys(REUSED, "cached")) == "SUCCEEDED"
    assert told(sharded, turns=5) == "SUCCEEDED"
    assert told(training, {"require-gate": "failed"}) == "FAILED"
    assert told(training, {"configure": "failed"}) == "FAILED"
    compiler.Compiler().compile(conditional, str(tmp_path / "conditional.yaml"))
    spec = next(yaml.safe_load_all((tmp_path / "conditional.yaml").read_text()))
    assert told(spec) == "RUNNING"
    assert told(spec, holds=True) == "SUCCEEDED"


def said(name: str, state: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what `notify` prints in a state, with the very arguments that the pipeline gives it."""
    monkeypatch.delenv(NOTIFY_URL, raising=False)
    given = SPECS[name]["root"]["dag"]["tasks"]["notify"]["inputs"]["parameters"]
    values = {
        key: value["runtimeValue"]["constant"] for key, value in given.items() if "runtimeValue" in value
    }
    status = dsl.PipelineTaskFinalStatus(state, "", "exit-handler-1", None, None)
    catalogue.notify.python_func(status=status, **values)
    return capsys.readouterr().out


@pytest.mark.parametrize("name", PIPELINES)
def test_no_condition_stands_in_a_pipeline(name: str) -> None:
    graphs = (SPECS[name]["root"], *SPECS[name]["components"].values())
    tasks = [task for graph in graphs for task in graph.get("dag", {}).get("tasks", {}).values()]
    assert not [task for task in tasks if "condition" in task.get("triggerPolicy", {})]


@pytest.mark.parametrize("name", PIPELINES)
def test_a_run_that_went_well_is_told_as_one_and_a_look_is_no_news(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(name, told(SPECS[name]), monkeypatch, capsys)
    assert " succeeded\n" in text
    assert ("nothing is sent" in text) == (name == "monitoring")


@pytest.mark.parametrize(("name", "step"), STEPS)
@pytest.mark.parametrize("end", ["failed", "killed"])
def test_a_run_that_did_not_go_well_is_never_told_as_one_that_did(
    name: str, step: str, end: End, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(name, told(SPECS[name], {step: end}), monkeypatch, capsys)
    assert "succeeded" not in text
    assert ("well or not" if end == "killed" and name == "training_sharded" else "FAILED") in text
    assert "RUNNING" not in text


@pytest.mark.parametrize(("name", "step"), REUSABLE)
def test_a_run_of_which_a_step_came_from_the_cache_is_never_told_as_a_failure(
    name: str, step: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(name, told(SPECS[name], {step: "cached"}), monkeypatch, capsys)
    assert "FAILED" not in text
    assert ("well or not" if step == "prepare-shard" else "succeeded") in text


def test_pieces_from_the_cache_leave_a_loop_open_even_if_it_is_one_of_many() -> None:
    sharded = SPECS["training_sharded"]
    assert told(sharded, {"prepare-shard": "cached"}) == "RUNNING"
    assert told(sharded, {"prepare-shard:1": "cached"}) == "RUNNING"
    assert told(sharded, {"prepare-shard:1": "failed"}) == "FAILED"
