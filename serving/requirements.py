"""What the service's container installs: what the service needs, at the versions that were tried."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mome.errors import ConfigError

__all__ = ["pinned_requirements"]

_EXTRAS = ("serving", "database")


def pinned_requirements(project: Path, constraints: Path) -> list[str]:
    """Return one line per package, needed directly or by another one, sorted.

    ``constraints.txt`` pins the whole project, monitoring and pipelines included; handing it to
    BentoML would install all of that, because it takes every line for a wish. So the service's part
    is picked out: core, ``serving`` and ``database`` of ``pyproject.toml``, and what the installed
    packages say they need in turn. A package without a pin keeps the range of ``pyproject.toml``, or is
    left to the installer.

    Args:
        project: ``pyproject.toml``.
        constraints: Lines of ``name==version``.

    Raises:
        ConfigError: If a file is missing or lacks what is looked for there.
    """
    wanted = _direct(project)
    pins = _pins(constraints)
    ranges: dict[str, str] = {canonicalize_name(requirement.name): str(requirement) for requirement in wanted}
    lines = []
    for name in _closure(wanted):
        if name in pins:
            lines.append(f"{name}=={pins[name]}")
        elif name in ranges:
            lines.append(ranges[name])
    return sorted(lines)


def _direct(project: Path) -> list[Requirement]:
    try:
        table = tomllib.loads(_text(project))["project"]
        extras = table["optional-dependencies"]
        lines = [*table["dependencies"], *(line for extra in _EXTRAS for line in extras[extra])]
    except (KeyError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"{project}: no dependencies with the extras {' and '.join(_EXTRAS)} in it ({error})"
        ) from error
    return [Requirement(line) for line in lines]


def _pins(constraints: Path) -> dict[str, str]:
    pins: dict[str, str] = {}
    for line in _text(constraints).splitlines():
        name, _, version = line.partition("#")[0].partition("==")
        if version:
            pins[canonicalize_name(name.strip())] = version.strip()
    return pins


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; the container's packages stand there") from None


def _closure(wanted: list[Requirement]) -> set[str]:
    """Return the names that are reached from ``wanted``, as the installed packages tell."""
    reached: set[tuple[str, str]] = set()  # name and extra; "" is the package itself
    waiting = list(wanted)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) in reached:
                continue
            reached.add((name, extra))
            waiting += _needs(name, extra)
    return {name for name, _ in reached}


def _needs(name: str, extra: str) -> list[Requirement]:
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []
    requirements = [Requirement(line) for line in lines]
    return [
        requirement
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra})
    ]
