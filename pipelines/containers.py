"""Run a compiled pipeline as containers on this machine: the images and the rights of a cluster, no cluster.

python -m pipelines.containers pipelines/compiled/training.yaml --root FOLDER [NAME=VALUE ...]

Needs a container engine and the images of `make images`. Every step gets what a pod gets: a numeric
user, a read-only root, no capabilities, and no network at all. Paths of arguments lie under FOLDER:
it is the one place that the steps share.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import docker
import yaml
from docker.errors import DockerException, ImageNotFound
from kfp import components, local
from kfp.local import docker_task_handler

from mome.cli import main
from mome.errors import ConfigError, MomeError
from pipelines.cures import cured
from pipelines.execution import failure_message

__all__ = ["RIGHTS", "PipelineFailed", "honest_exit_codes", "run", "run_container"]

RIGHTS: dict[str, Any] = {
    "network_mode": "none",
    "read_only": True,
    "tmpfs": {"/tmp": "rw,exec,mode=1777"},  # noqa: S108 - of the container, not of this machine
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "shm_size": "1g",
}


class PipelineFailed(MomeError):
    """A step did not end well; the message is the one that the step gave."""


def run(pipeline: Path, arguments: dict[str, Any], root: Path, log: Path) -> Path:
    """Run a compiled pipeline, every step in a container of its image, and return the run's folder.

    The folder has one folder per step with its outputs. Unchanged steps of earlier runs under the same
    root are reused, as on a cluster, and have none.

    Args:
        pipeline: YAML of the pipeline.
        arguments: Values of its parameters.
        root: Folder for all outputs; steps may write to all of it.
        log: File that takes all that kfp and the steps print.

    Raises:
        PipelineFailed: If a step fails.
        ConfigError: If there is no such pipeline, no engine, or an image is not on this machine.
    """
    root = root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o777)
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        text = pipeline.read_text()
    except OSError as error:
        raise ConfigError(f"{pipeline}: cannot be read; expected a compiled pipeline: {error}") from None
    _check_images(text)
    local.init(
        local.DockerRunner(**RIGHTS),
        pipeline_root=str(root),
        workspace_root=str(root / ".workspace"),
        enable_caching=True,
    )
    step = components.load_component_from_text(text)
    before = set(root.iterdir())
    with (
        log.open("w", buffering=1) as stream,
        honest_exit_codes(),
        cured(),
        _writable_by_steps(),
        warnings.catch_warnings(),
        redirect_stdout(stream),
    ):
        # Resources and titles are a cluster's business.
        warnings.filterwarnings("ignore", "Task .* have no effect in the current local runner", UserWarning)
        try:
            step(**arguments)
        except RuntimeError as error:  # kfp.local's word for a failed step
            message = failure_message(_of_the_failed_step(log.read_text(errors="replace")))
            raise PipelineFailed(f"{message} (log: {log})") from error
    name = next(yaml.safe_load_all(text))["pipelineInfo"]["name"]
    (folder,) = [path for path in set(root.iterdir()) - before if path.name.startswith(f"{name}-")]
    return folder


def _check_images(pipeline: str) -> None:
    """Look for every image of a pipeline on this machine before the first step runs.

    Raises:
        ConfigError: If one is missing, and the message names it; or if no engine answers.
    """
    spec = next(yaml.safe_load_all(pipeline))
    wanted = {executor["container"]["image"] for executor in spec["deploymentSpec"]["executors"].values()}
    try:
        client = docker.from_env()
        client.ping()
    except DockerException as error:
        raise ConfigError(
            f"no container engine answers; expected one at DOCKER_HOST or its usual socket: {error}"
        ) from None
    try:
        for image in sorted(wanted):
            _find(client, image)
    finally:
        client.close()


def run_container(
    client: docker.DockerClient, image: str, command: list[str], volumes: dict[str, Any], **options: Any
) -> int:
    """Run a container to its end, print what it prints, and return its exit code.

    Stands in for kfp.local's own function, which lets the engine remove the container and takes one
    that is gone before its code was read for a success (kubeflow/pipelines issue 13332).

    Raises:
        ConfigError: If the image is not on this machine; nothing is pulled.
    """
    _find(client, image)
    container = client.containers.create(image, command, volumes=volumes, **options)
    try:
        container.start()
        for line in container.logs(stream=True, follow=True):
            print(line.decode(errors="replace"), end="")
        return int(container.wait()["StatusCode"])
    finally:
        container.remove(force=True, v=True)


@contextmanager
def honest_exit_codes() -> Iterator[None]:
    """Have kfp.local run containers with `run_container`."""
    theirs = docker_task_handler.run_docker_container
    docker_task_handler.run_docker_container = run_container
    try:
        yield
    finally:
        docker_task_handler.run_docker_container = theirs


@contextmanager
def _writable_by_steps() -> Iterator[None]:
    """Make folders so that the steps may write to them: they run as another user than this process."""
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


def _of_the_failed_step(log: str) -> str:
    """Return the log up to where kfp.local goes on after a step that failed."""
    lines = log.splitlines()
    ends = [
        number for number, line in enumerate(lines) if re.search(r"- ERROR - Task .* finished with", line)
    ]
    return "\n".join(lines[: ends[0]] if ends else lines)


def _find(client: docker.DockerClient, image: str) -> None:
    try:
        client.images.get(image)
    except ImageNotFound:
        raise ConfigError(
            f"image {image} is not on this machine: `make images` builds the project's own"
        ) from None


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.containers", description="Run a compiled pipeline as containers."
    )
    parser.add_argument("pipeline", type=Path, help="its YAML, as `make compile` writes it")
    parser.add_argument("arguments", nargs="*", type=_pair, metavar="NAME=VALUE", help="JSON, or a word")
    parser.add_argument("--root", type=Path, required=True, help="folder for all outputs")
    given = parser.parse_args()
    started = time.monotonic()
    folder = run(given.pipeline, dict(given.arguments), given.root, given.root / "run.log")
    print(f"{folder} ({time.monotonic() - started:.0f} s)")


def _pair(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


if __name__ == "__main__":
    raise SystemExit(main(_command))
