"""A compiled pipeline as a file of YAML: its parameters, its steps, its images, the name of its version."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format  # type: ignore[import-untyped]
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec, PlatformSpec

from mome import __version__
from mome.config import load_params
from mome.errors import ConfigError
from pipelines.compile import COMPILED, PIPELINES, compile_pipeline

__all__ = ["Input", "Package", "Place", "load_package", "parse_package", "version_name"]

ROOT = Path(__file__).parents[2]
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it was built
DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Input:
    """A parameter of a pipeline: kfp's name of its type, and whether a run must give it."""

    type: str
    required: bool


@dataclass(frozen=True)
class Place:
    """Where a step stands in its pipeline.

    Args:
        name: Of its task.
        groups: Names of the graphs around it, the outermost first.
        loops: Those of them that are run once for each item.
        is_certain: Whether a run cannot end well without it: no condition and no loop stands before it.
        attempts: How often it is tried at most.
    """

    name: str
    groups: tuple[str, ...] = ()
    loops: frozenset[str] = frozenset()
    is_certain: bool = True
    attempts: int = 1


@dataclass(frozen=True)
class Package:
    """A compiled pipeline.

    Args:
        name: Of the pipeline.
        text: The file.
        spec: Its first document: steps, parameters, images.
        platform: Its second one, if there is one: what only Kubernetes reads, as volumes and secrets.
    """

    name: str
    text: str
    spec: Mapping[str, Any]
    platform: Mapping[str, Any]

    @property
    def inputs(self) -> dict[str, Input]:
        """Parameters of a run, by name."""
        found = self.spec["root"].get("inputDefinitions", {}).get("parameters", {})
        return {
            name: Input(
                definition.get("parameterType", "STRING"),
                "defaultValue" not in definition and not definition.get("isOptional", False),
            )
            for name, definition in found.items()
        }

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Sections of ``params.yaml`` as it was compiled with them; empty where no step checks them."""
        task = self.steps().get("configure", {})
        given = task.get("inputs", {}).get("parameters", {}).get("defaults", {})
        found: Mapping[str, Any] = given.get("runtimeValue", {}).get("constant", {})
        return found

    @property
    def images(self) -> set[str]:
        """Every image that a step of it runs in."""
        executors = self.spec.get("deploymentSpec", {}).get("executors", {})
        return {part["container"]["image"] for part in executors.values() if "container" in part}

    def steps(self) -> dict[str, Mapping[str, Any]]:
        """Return the steps that run code, by name, however deep they stand in loops and conditions.

        They come in an order in which they can run.
        """
        return {place.name: task for place, task in self._steps(self.spec["root"], Place(""))}

    def places(self) -> dict[str, Place]:
        """Return where each step stands, by its name, in the order of `steps`."""
        return {place.name: place for place, _ in self._steps(self.spec["root"], Place(""))}

    def _steps(
        self, component: Mapping[str, Any], around: Place
    ) -> Iterator[tuple[Place, Mapping[str, Any]]]:
        tasks = component.get("dag", {}).get("tasks", {})
        before = {name: task.get("dependentTasks", ()) for name, task in tasks.items()}
        for name in TopologicalSorter(before).static_order():
            task = tasks[name]
            inner = self.spec["components"][task["componentRef"]["name"]]
            is_loop = "parameterIterator" in task or "artifactIterator" in task
            place = Place(
                name=name,
                groups=around.groups,
                loops=around.loops | ({name} if is_loop else set()),
                is_certain=around.is_certain
                and not is_loop
                and "condition" not in task.get("triggerPolicy", {}),
                attempts=1 + int(task.get("retryPolicy", {}).get("maxRetryCount", 0)),
            )
            if "dag" in inner:
                yield from self._steps(inner, replace(place, groups=(*around.groups, name)))
            else:
                yield place, task

    def judge(self, stage: str) -> str | None:
        """Return the step whose success is the yes of a stage, or None if the pipeline has no such stage.

        It is the step ``require`` that was told the stage, for Kubeflow shows no report of a step that
        failed; in a pipeline without one it is the stage itself.
        """
        steps = self.steps()
        for name, task in steps.items():
            told = task.get("inputs", {}).get("parameters", {}).get("stage", {})
            if told.get("runtimeValue", {}).get("constant") == stage:
                return name
        return stage if stage in steps else None

    def require_digests(self) -> None:
        """Refuse images that are named by a tag: what runs would then depend on the day.

        Raises:
            ConfigError: If there is one.
        """
        loose = sorted(image for image in self.images if not DIGEST.fullmatch(image))
        if loose:
            raise ConfigError(
                f"images without a digest: {', '.join(loose)}; expected name@sha256:...: have the workflow "
                "`images` build them and merge its change of components/images.lock.json"
            )

    def same(self, stored: Any) -> bool:
        """Tell whether a server's copy is this pipeline; it may have left out what is the default."""
        if not isinstance(stored, dict):
            return False
        theirs = stored.get("pipeline_spec", stored)
        try:
            return bool(
                _message(theirs) == _message(self.spec)
                and _platform(stored.get("platform_spec") or {}) == _platform(self.platform)
            )
        except json_format.ParseError:
            return False


def load_package(source: str) -> Package:
    """Compile one of our pipelines, or take a file that was compiled before.

    What is compiled is the same for everybody at one commit: the values of a run are its arguments.

    Args:
        source: One of `pipelines.compile.PIPELINES`, or the path of a YAML file.

    Raises:
        ConfigError: If it is neither, or if the file is no compiled pipeline.
    """
    if source in PIPELINES:
        return parse_package(compile_pipeline(source, load_params(ROOT / "params.yaml")), source)
    try:
        text = Path(source).read_text()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"{source}: no such pipeline; expected {', '.join(PIPELINES)}, or a compiled file"
        ) from None
    return parse_package(text, source)


def parse_package(text: str, source: str) -> Package:
    """Return the pipeline that a text holds.

    Args:
        text: YAML, as kfp's compiler writes it.
        source: Where it is from, for messages.

    Raises:
        ConfigError: If it is no compiled pipeline, or one whose parts do not fit together.
    """
    try:
        documents = [part for part in yaml.load_all(text, Loader=_LOADER) if isinstance(part, dict)]
        spec, platform = (*documents, {}, {})[:2]
        _message(spec)
        _platform(platform)
        package = Package(spec["pipelineInfo"]["name"], text, spec, platform)
        # All that is read of it later, when a run may have begun already.
        _ = package.inputs, package.images, package.places()
        return package
    except RecursionError:
        raise ConfigError(f"{source}: no compiled pipeline: a component holds itself") from None
    except (yaml.YAMLError, json_format.ParseError, AttributeError, CycleError, KeyError, TypeError) as error:
        said = " ".join(str(error).split())[:300]
        raise ConfigError(f"{source}: no compiled pipeline: {said}; `make compile` writes them") from error


def version_name(package: Package, tag: str | None = None) -> str:
    """Return ``<version>+g<commit>``, and what differs from the commit as ``.d<digest of the package>``.

    A checkout without changes can differ, too: variables say where images are and what a cluster gives.

    Args:
        package: Whose version is named.
        tag: Of a release; it must be ``v<version>``.

    Raises:
        ConfigError: If the tag is another version's, or if this is no git checkout.
    """
    if tag is not None and tag != f"v{__version__}":
        raise ConfigError(f"tag {tag!r}: mome/__init__.py says {__version__}; expected v{__version__}")
    commit, changed = _git("rev-parse", "--short=12", "HEAD"), _git("status", "--porcelain", "-uno")
    if commit is None or changed is None:
        raise ConfigError("no git checkout to name the version by; give --version")
    if changed and tag is not None:
        raise ConfigError(f"tag {tag!r}: the checkout differs from its commit: {' '.join(changed.split())}")
    name = f"{__version__}+g{commit}"
    # What the commit compiles to without variables is part of it.
    if not changed and package.text in {path.read_text() for path in COMPILED.glob("*.yaml")}:
        return name
    return f"{name}.d{hashlib.sha256(package.text.encode()).hexdigest()[:8]}"


def _message(spec: Any) -> PipelineSpec:
    return json_format.ParseDict(spec, PipelineSpec())


def _platform(spec: Any) -> PlatformSpec:
    return json_format.ParseDict(spec, PlatformSpec())


def _git(*command: str) -> str | None:
    try:
        done = subprocess.run(["git", *command], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
