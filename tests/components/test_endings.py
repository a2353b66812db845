"""A step that is pre-empted, or about to be killed for its memory, says so last, whichever step it is."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mome.evaluation.run
import mome.foundation.run
from components import catalogue
from components.rehearse import rehearsal
from data import fan_out, prepare, version
from mome.config import load_params
from mome.errors import Stopped
from pipelines.cluster import load_cluster
from serving import package

PARAMS = load_params()
HERE = Path("nothing")

# What a step runs, and what of it is in the middle of its work.
STEPS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "version_corpus": (
        lambda output: version.run("embedded", PARAMS.prepare, output), "data.version.open_corpus"
    ),
    "prepare": (lambda output: prepare.run(PARAMS.prepare, "repo", "1f2e", output), "data.prepare.pull"),
    "prepare_shard": (lambda output: fan_out.prepare_shard("repo", "1f2e", "a", output), "data.fan_out.pull"),
    "collect_shards": (lambda output: fan_out.collect("repo", "1f2e", [], output), "data.fan_out.pull"),
    "build_foundation": (
        lambda output: mome.foundation.run.run(PARAMS.foundation, output), "mome.foundation.run.make_lessons"
    ),
    "evaluate": (
        lambda output: mome.evaluation.run.run(PARAMS.evaluate, HERE, HERE, HERE, output),
        "mome.evaluation.run.load_checkpoint",
    ),
    "package": (
        lambda output: package.run(PARAMS.package, HERE, HERE, HERE, HERE, output),
        "serving.package.write_bundle",
    ),
    "rehearse": (
        lambda output: rehearsal.run(PARAMS.rehearse, PARAMS.monitor, HERE, HERE, output),
        "components.rehearse.rehearsal.check.run",
    ),
}  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_is_told_to_stop_says_so_and_leaves_nothing_half_done(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, middle = STEPS[step]
    monkeypatch.setattr(middle, lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM) or time.sleep(10))
    with pytest.raises(Stopped, match=r"SIGTERM: pre-empted.*; start the run again"):
        run(tmp_path / "output")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("step", STEPS)
def test_the_memory_of_a_step_is_watched_under_the_name_that_its_limit_has(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.stat").write_text("anon 1000\n")
    monkeypatch.setattr("mome.machine.memory._find", _found_in(tmp_path))
    run, middle = STEPS[step]

    def wait_for_it(*_: Any, **__: Any) -> None:
        deadline = time.monotonic() + 10
        said = ""  # a step says first how it computes
        while "memory" not in (said := said + capsys.readouterr().err) and time.monotonic() < deadline:
            time.sleep(0.02)
        raise KeyError(said)

    monkeypatch.setattr(middle, wait_for_it)
    with pytest.raises(KeyError, match=rf"raise memory\.limit of step {step}\b"):
        run(tmp_path / "output")
    assert step in catalogue.__all__
    assert load_cluster().step(step).memory.limit


def _found_in(group: Path) -> Callable[[Path], Any]:
    from mome.machine.memory import _find

    return lambda _: _find(group)
