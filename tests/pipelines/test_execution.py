"""A pipeline run on one machine: what is reused, what is not, and what a failure says."""

import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl

from pipelines.compile import COMPILED
from pipelines.execution import Stage, StageFailed, execute, failure_message, pin_images


@dsl.component(base_image="mome-train:1", install_kfp_package=False)
def count(numbers: dsl.Output[dsl.Dataset], metrics: dsl.Output[dsl.Metrics], upto: int) -> None:
    import json
    from pathlib import Path

    folder = Path(numbers.path)
    folder.mkdir()
    (folder / "numbers.json").write_text(json.dumps(list(range(upto))))
    metrics.metadata["count"] = float(upto)
    Path(metrics.path).write_text(json.dumps(metrics.metadata))


@dsl.component(base_image="mome-serve:1", install_kfp_package=False)
def judge(numbers: dsl.Input[dsl.Dataset], report: dsl.Output[dsl.HTML], most: int) -> None:
    import json
    from pathlib import Path

    from mome.errors import GateRejected

    found = json.loads((Path(numbers.path) / "numbers.json").read_text())
    Path(report.path).write_text("<p>report</p>")
    if len(found) > most:
        raise GateRejected(f"{len(found)} numbers\nallowed: {most}")
    assert most != 99, "a mistake"


@dsl.pipeline(name="toy")
def toy(upto: int = 3, most: int = 5) -> None:
    counted = count(upto=upto)
    judge(numbers=counted.outputs["numbers"], most=most)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("compiled") / "toy.yaml"
    compiler.Compiler().compile(toy, str(path))
    return path.read_text()


def run(compiled: str, folder: Path, seen: list[str] | None = None, **arguments: Any) -> dict[str, Stage]:
    seen = [] if seen is None else seen
    return execute(
        compiled,
        arguments,
        root=folder / "runs",
        log=folder / "run.log",
        on_start=lambda stage: seen.append(f"start {stage.name}"),
        on_end=lambda stage: seen.append(f"end {stage.name}"),
    )


def test_stages_are_told_of_as_they_run_and_nothing_is_printed(
    compiled: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []
    stages = run(compiled, tmp_path, seen, upto=4)
    assert seen == ["start count", "end count", "start judge", "end judge"]
    assert [stage.reused for stage in stages.values()] == [False, False]
    assert (stages["count"].path("numbers") / "numbers.json").read_text() == "[0, 1, 2, 3]"
    assert stages["judge"].path("report").read_text() == "<p>report</p>"
    assert capfd.readouterr() == ("", "")
    assert "KFP Executor" in (tmp_path / "run.log").read_text()


def test_a_second_run_reuses_what_did_not_change_and_only_that(compiled: str, tmp_path: Path) -> None:
    first = run(compiled, tmp_path)
    second = run(compiled, tmp_path)
    assert [stage.reused for stage in second.values()] == [True, True]
    assert second["count"].path("numbers") == first["count"].path("numbers")
    third = run(compiled, tmp_path, most=4)
    assert [stage.reused for stage in third.values()] == [True, False]
    fourth = run(compiled, tmp_path, upto=2)
    assert [stage.reused for stage in fourth.values()] == [False, False]


def test_a_change_of_what_an_image_holds_repeats_its_steps_alone(
    compiled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(compiled, tmp_path)
    monkeypatch.setattr("pipelines.execution.fingerprint", _edited("serve"))
    assert [stage.reused for stage in run(compiled, tmp_path).values()] == [True, False]


def _edited(name: str) -> Any:
    from components.images import fingerprint

    return lambda image: "edited" if image == name else fingerprint(image)


def test_a_failed_step_ends_the_run_with_its_own_words_and_is_not_remembered(
    compiled: str, tmp_path: Path
) -> None:
    seen: list[str] = []
    with pytest.raises(StageFailed, match=r"^6 numbers allowed: 5$") as failed:
        run(compiled, tmp_path, seen, upto=6)
    assert seen == ["start count", "end count", "start judge"]
    assert failed.value.stage.name == "judge"
    assert (failed.value.stage.folder / "report").read_text() == "<p>report</p>"
    with pytest.raises(StageFailed):
        run(compiled, tmp_path, upto=6)


def test_folders_with_spaces_and_with_the_name_of_the_interpreter_are_folders(
    compiled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my python3 projects (é) $HOME's"
    folder.mkdir()
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))

    stages = run(compiled, folder)

    assert (stages["count"].path("numbers") / "numbers.json").read_text() == "[0, 1, 2]"
    assert stages["judge"].path("report").is_relative_to(folder / "runs")


def test_our_own_mistake_is_named(compiled: str, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match="unexpected AssertionError: a mistake"):
        run(compiled, tmp_path, most=99)


def test_a_killed_step_says_that_it_was_killed() -> None:
    assert "killed" in failure_message("    [KFP Executor INFO]: Looking for component\n\n")


def test_a_step_that_was_killed_for_its_memory_says_what_to_raise() -> None:
    said = "memory is nearly used up (7.9 of 8 GiB): raise memory.limit of step train"
    output = f"    step 10 of 850\n    {said.replace('7.9', '7.6')}\n    {said}\n    step 20 of 850\n"
    assert failure_message(output) == f"the step was killed: {said}"


def test_what_a_cluster_gives_says_nothing_of_this_machine() -> None:
    compiled = (COMPILED / "training.yaml").read_text()

    def gpus(text: str) -> Any:
        tasks = next(yaml.safe_load_all(text))["components"]["comp-exit-handler-1"]["dag"]["tasks"]
        return tasks["configure"]["inputs"]["parameters"]["gpus"]["runtimeValue"]["constant"]

    assert gpus(compiled) == {"train": 0, "evaluate": 0}
    assert gpus(pin_images(compiled)) == {}


def test_the_last_traceback_of_a_chain_counts() -> None:
    output = """
    Traceback (most recent call last):
      File "a.py", line 1, in <module>
    OSError: disk

    The above exception was the direct cause of the following exception:

    Traceback (most recent call last):
      File "b.py", line 2, in <module>
        raise CorpusError("x") from error
    mome.errors.CorpusError: manifest.csv: no column transcript


12:00:00.000 - ERROR - Task 'x' finished with status FAILURE
"""
    assert failure_message(output) == "manifest.csv: no column transcript"


def test_images_are_pinned_to_the_sources_and_foreign_ones_stay(compiled: str) -> None:
    pinned = pin_images(compiled.replace("mome-serve:1", "registry.example:5000/team/mome-serve:1"))
    assert "mome-train:source-" in pinned
    assert "mome-serve:source-" in pinned
    assert "registry.example" not in pinned
    foreign = compiled.replace("mome-serve:1", "python:3.11")
    assert "python:3.11" in pin_images(foreign)


def test_a_failure_is_one_at_once_on_this_machine(tmp_path: Path) -> None:
    @dsl.pipeline(name="patient")
    def patient(most: int = 5) -> None:
        counted = count(upto=6)
        judge(numbers=counted.outputs["numbers"], most=most).set_retry(3, backoff_duration="600s")

    compiler.Compiler().compile(patient, str(tmp_path / "patient.yaml"))
    pipeline = (tmp_path / "patient.yaml").read_text()
    assert "retryPolicy" in pipeline
    seen: list[str] = []
    with pytest.raises(StageFailed, match=r"^6 numbers allowed: 5$"):
        run(pipeline, tmp_path, seen)
    assert seen == ["start count", "end count", "start judge"]


def test_a_traceback_counts_however_deep_its_step_lies() -> None:
    lines = ["Traceback (most recent call last):", "  File", "mome.errors.CorpusError: bad", ""]
    output = "\n".join(" " * 8 + line for line in lines)
    assert failure_message(output) == "bad"


def test_the_environment_of_the_caller_reaches_the_steps_and_is_left_alone(
    compiled: str, tmp_path: Path
) -> None:
    before = dict(os.environ)
    run(compiled, tmp_path)
    assert dict(os.environ) == before


@dsl.component(base_image="mome-data:1", install_kfp_package=False)
def speak(word: str) -> None:
    import time

    time.sleep(0.2 * len(word))
    print(word)


@dsl.pipeline(name="choir")
def choir() -> None:
    with dsl.ParallelFor(["a", "bb", "ccc"], parallelism=3) as word:
        speak(word=word)


def test_steps_at_the_same_time_leave_print_and_logging_as_they_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    compiler.Compiler().compile(choir, str(tmp_path / "choir.yaml"))
    run((tmp_path / "choir.yaml").read_text(), tmp_path)
    print("afterwards")
    assert capsys.readouterr().out == "afterwards\n"
    assert (root.level, root.handlers) == before
