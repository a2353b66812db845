"""What is to be submitted, checked before a server is asked; it can be kept in a file between the two.

A workflow plans in one job and submits in another, after a person's approval. What was approved must be what
runs, so the second job takes the file of the first: the compiled package and the very arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mome.changes import configured
from mome.config import Params, load_params, parse_section
from mome.errors import ConfigError
from mome.records import Record
from pipelines.cluster import check_devices, steps
from pipelines.compile import PIPELINES
from pipelines.submit.arguments import CHANGES, arguments, base_sections, parse_changes, typed
from pipelines.submit.package import Package, load_package, parse_package, version_name
from pipelines.submit.revision import pinned
from pipelines.submit.triggers import Trigger, corpus_address, pointer_address, read_trigger

__all__ = ["Plan", "plan", "read_plan", "write_plan"]


@dataclass(frozen=True)
class Plan:
    """What is to be submitted."""

    package: Package
    version: str
    arguments: Mapping[str, Any]
    changes: Mapping[str, str]  # what differs from params.yaml, for people
    trigger: str
    reason: str


class _Saved(Record):
    """A plan as a file."""

    package: str  # the compiled YAML
    version: str
    arguments: dict[str, Any]
    changes: dict[str, str]
    trigger: str
    reason: str


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
    starts: bool = True,
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
        starts: Whether a run is to be started, and not only its pipeline uploaded.

    Raises:
        ConfigError: If anything of it is wrong.
    """
    package = load_package(source)
    asked: Trigger = read_trigger(trigger) if trigger else Trigger()
    profile = profile or asked.asked_profile
    given = parse_changes(changes)
    corpus = given.get("corpus") or (pointer_address(pointer) if pointer else None)
    corpus = corpus_address(corpus, asked)
    if corpus is not None:
        # What a stranger calls a revision may be another one by the time somebody approved it.
        given["corpus"] = pinned(corpus) if asked.asked_revision else corpus
    sections = asked.sections(load_params(params, profile).train)
    shown = {f"{part}.{key}": str(value) for part, found in sections.items() for key, value in found.items()}
    found = arguments(package, params, profile, given, sections)
    if starts and source in PIPELINES and CHANGES in package.inputs:
        _check_devices(package, found)
    return Plan(
        package=package,
        version=version or version_name(package, tag),
        arguments=found,
        changes=shown | given,
        trigger=trigger or "",
        reason=asked.reason,
    )


def write_plan(path: Path, job: Plan) -> None:
    """Keep a plan as a file, whole or not at all."""
    _Saved(
        package=job.package.text,
        version=job.version,
        arguments=dict(job.arguments),
        changes=dict(job.changes),
        trigger=job.trigger,
        reason=job.reason,
    ).write(path)


def read_plan(path: Path, changes: list[str]) -> Plan:
    """Return a plan that was kept.

    Args:
        path: What `write_plan` wrote.
        changes: ``name=value`` of parameters of the pipeline that are known only now, as the place of an
            environment's models; sections were checked together, and stay as they are.

    Raises:
        ConfigError: If a change is wrong, or the package is none.
        MomeError: If it is no such file.
    """
    saved = _Saved.read(path)
    package = parse_package(saved.package, str(path))
    job = Plan(
        package=package,
        version=saved.version,
        arguments=saved.arguments,
        changes=saved.changes,
        trigger=saved.trigger,
        reason=saved.reason,
    )
    given = parse_changes(changes)
    if checked := [
        name for name in given if name in package.inputs and package.inputs[name].type == "STRUCT"
    ]:
        raise ConfigError(f"--set {checked[0]}: was checked with all other sections; make another plan")
    values = {name: typed(package, name, text) for name, text in given.items()}
    return replace(job, arguments={**job.arguments, **values}, changes={**job.changes, **given})


def _check_devices(package: Package, found: Mapping[str, Any]) -> None:
    """Refuse a run that would wait for a GPU that its steps do not ask the cluster for, hours from now."""
    final = configured(found[CHANGES], base_sections(package, found))
    check_devices(steps.cluster, parse_section(Params, final))
