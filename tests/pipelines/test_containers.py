"""Steps as containers: the exit code counts, whatever the engine says; no engine is needed to see that."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import DockerException, ImageNotFound, NotFound
from kfp import compiler, dsl
from kfp.local import docker_task_handler

from mome.errors import ConfigError
from pipelines import containers
from pipelines.containers import PipelineFailed, honest_exit_codes, run, run_container


class Engine:
    """An engine that runs the command of a container as a process of this machine, and forgets it at once."""

    def __init__(self, images: tuple[str, ...] = ("mome-data:1",)) -> None:
        self.images = self.containers = self
        self._images = images
        self.asked: list[dict[str, Any]] = []
        self.removed = 0

    def get(self, image: str) -> str:
        if image not in self._images:
            raise ImageNotFound(image)
        return image

    def info(self) -> dict[str, Any]:
        return {}

    def ping(self) -> None:
        pass

    def close(self) -> None:
        pass

    def create(self, image: str, command: list[str], **options: Any) -> "Container":
        self.asked.append({"image": image, **options})
        return Container(self, command)

    def run(self, image: str, command: list[str], auto_remove: bool, **options: Any) -> "Container":
        assert auto_remove  # what kfp.local asks for
        return Container(self, command, forgotten=True)

    def list(self) -> list[Any]:
        return [SimpleNamespace(tags=[*self._images], attrs={"RepoDigests": []})]


class Container:
    def __init__(self, engine: Engine, command: list[str], forgotten: bool = False) -> None:
        self.engine, self.command, self.forgotten = engine, command, forgotten

    def start(self) -> None:
        pass

    def logs(self, **_options: Any) -> list[bytes]:
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(self.command, capture_output=True, env=environment)
        self.code = done.returncode
        return (done.stdout + done.stderr).splitlines(keepends=True)

    def wait(self) -> dict[str, int]:
        if self.forgotten:
            raise NotFound("no such container")
        return {"StatusCode": self.code}

    def remove(self, **_options: Any) -> None:
        self.engine.removed += 1


@dsl.component(base_image="mome-data:1", install_kfp_package=False)
def judge(report: dsl.Output[dsl.HTML], good: bool) -> None:
    from pathlib import Path

    Path(report.path).write_text("<p>report</p>")
    if not good:
        from mome.errors import GateRejected

        raise GateRejected("not good enough")


@dsl.pipeline(name="toy")
def toy(good: bool = True) -> None:
    judge(good=good).set_caching_options(False)


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    path = tmp_path / "toy.yaml"
    compiler.Compiler().compile(toy, str(path))
    return path


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine()
    monkeypatch.setattr(containers.docker, "from_env", lambda: engine)
    return engine


def test_kfp_local_takes_a_container_that_is_gone_for_a_success_and_we_do_not(engine: Engine) -> None:
    failing = {"client": engine, "image": "mome-data:1", "command": ["sh", "-c", "exit 3"], "volumes": {}}
    assert docker_task_handler.run_docker_container(**failing) == 0  # the defect; the day it goes, so may we
    with honest_exit_codes():
        assert docker_task_handler.run_docker_container(**failing) == 3
    assert docker_task_handler.run_docker_container is not run_container


def test_a_run_leaves_the_outputs_of_its_steps(engine: Engine, compiled: Path, tmp_path: Path) -> None:
    folder = run(compiled, {}, tmp_path / "root", tmp_path / "run.log")
    assert (folder / "judge" / "report").read_text() == "<p>report</p>"
    assert engine.removed == 1


def test_a_step_gets_the_rights_of_a_pod_and_no_network(
    engine: Engine, compiled: Path, tmp_path: Path
) -> None:
    run(compiled, {}, tmp_path / "root", tmp_path / "run.log")
    (asked,) = engine.asked
    assert asked["network_mode"] == "none"
    assert asked["read_only"]
    assert asked["cap_drop"] == ["ALL"]
    assert str(tmp_path / "root") in asked["volumes"]


def test_a_failed_step_ends_the_run_with_its_own_words(
    engine: Engine, compiled: Path, tmp_path: Path
) -> None:
    with pytest.raises(PipelineFailed, match=r"^not good enough \(log: .*run\.log\)$"):
        run(compiled, {"good": False}, tmp_path / "root", tmp_path / "run.log")
    assert engine.removed == 1


def test_folders_are_made_so_that_another_user_may_write_and_only_for_the_run(
    engine: Engine, compiled: Path, tmp_path: Path
) -> None:
    before = os.umask(0o022)
    try:
        folder = run(compiled, {}, tmp_path / "root", tmp_path / "run.log")
        assert (tmp_path / "root").stat().st_mode & 0o777 == 0o777
        assert (folder / "judge").stat().st_mode & 0o777 == 0o777
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_a_missing_image_is_named_before_any_step_runs(
    monkeypatch: pytest.MonkeyPatch, compiled: Path, tmp_path: Path
) -> None:
    engine = Engine(images=("mome-serve:1",))
    monkeypatch.setattr(containers.docker, "from_env", lambda: engine)
    with pytest.raises(ConfigError, match="image mome-data:1 is not on this machine: `make images`"):
        run(compiled, {}, tmp_path / "root", tmp_path / "run.log")
    assert engine.asked == []


def test_a_missing_pipeline_is_named(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read; expected a compiled pipeline"):
        run(tmp_path / "absent.yaml", {}, tmp_path / "root", tmp_path / "run.log")


def test_an_engine_that_does_not_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, compiled: Path, tmp_path: Path
) -> None:
    def refused() -> None:
        raise DockerException("connection refused")

    monkeypatch.setattr(containers.docker, "from_env", refused)
    with pytest.raises(ConfigError, match=r"no container engine answers; .*: connection refused$"):
        run(compiled, {}, tmp_path / "root", tmp_path / "run.log")
