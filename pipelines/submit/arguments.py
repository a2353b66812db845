"""The parameters of a run, typed: profile and changes, or sections; and what a trigger brought."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from mome.changes import configured, differences
from mome.config import PARAMS_FILE, load_params, with_profile
from mome.errors import ConfigError
from pipelines.compile import PROFILE
from pipelines.submit.package import Package

__all__ = ["CHANGES", "arguments", "base_sections", "inside_sections", "parse_changes", "typed"]

# kfp's name of a type, what YAML makes of a value of it, and how a person calls it.
TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "NUMBER_INTEGER": ((int,), "a whole number"),
    "NUMBER_DOUBLE": ((int, float), "a number"),
    "BOOLEAN": ((bool,), "true or false"),
    "STRUCT": ((dict,), "a mapping, {key: value}"),
    "LIST": ((list,), "a list, [a, b]"),
}
CHANGES = "changes"  # the parameter that takes single values by their path, where a pipeline has it


def parse_changes(texts: Iterable[str]) -> dict[str, str]:
    """Return what ``--set name=value`` gave, by name; a value stays text until its type is known.

    Raises:
        ConfigError: If one has no ``=``, or a name comes twice.
    """
    changes: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError(f"--set {text}: expected name=value, as in train.steps=200 or corpus=embedded")
        if name in changes:
            raise ConfigError(f"--set {name}: given twice, {changes[name]!r} and {value!r}")
        changes[name] = value
    return changes


def arguments(
    package: Package,
    params: Path,
    profile: str | None,
    changes: Mapping[str, str],
    sections: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the arguments of a run, each of the type that the pipeline declares.

    Args:
        package: The pipeline.
        params: Sections of the run.
        profile: Whose sections stand in for those of ``params``.
        changes: ``train.steps`` and the like change a section; other names are parameters of the pipeline.
            Where it takes changes, it gets what leads from its own defaults to these sections.
        sections: Values that a trigger asks for, by section; ``changes`` comes after them.

    Raises:
        ConfigError: If a name is unknown, a required parameter is missing, or a value has another type.
    """
    inputs = package.inputs
    found = {name: typed(package, name, text) for name, text in changes.items() if "." not in name}
    inside = {f"{part}.{key}": value for part, given in sections.items() for key, value in given.items()}
    inside |= inside_sections({name: text for name, text in changes.items() if "." in name})
    if CHANGES in inputs:
        profile = found.get(PROFILE, profile)
        found[PROFILE] = profile or PARAMS_FILE
        given = found.get(CHANGES, {})
        wanted = configured(given | inside, with_profile(load_params(params).sections(), found[PROFILE]))
        # Checked as the run's first step will, minutes after it was started.
        found[CHANGES] = differences(base_sections(package, found), wanted)
    else:
        values = configured(inside, load_params(params, profile).sections())
        found |= {name: value for name, value in values.items() if name in inputs and name not in found}
        unseen = [path for path in inside if path.partition(".")[0] not in inputs]
        if unseen:
            raise ConfigError(f"--set {unseen[0]}: {package.name} does not take this section")
    missing = sorted(name for name, field in inputs.items() if field.required and name not in found)
    if missing:
        raise ConfigError(f"{package.name} needs {', '.join(missing)}: give --set {missing[0]}=...")
    return found


def inside_sections(changes: Mapping[str, str]) -> dict[str, Any]:
    """Return the values of ``--set train.steps=200`` and the like, as `configured` takes them.

    Raises:
        ConfigError: If a name is not one of a section, or a text is no value.
    """
    if outside := [name for name in changes if "." not in name]:
        raise ConfigError(f"--set {outside[0]}: expected a section and a name in it, as in train.steps=200")
    return {name: _value(name, text) for name, text in changes.items()}


def base_sections(package: Package, found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the sections that a run's changes are changes of: those it was compiled with, and its profile's.

    Args:
        package: A pipeline that takes changes.
        found: Its arguments.

    Raises:
        ConfigError: If it was compiled without all sections, or for other code than this.
    """
    return configured({}, with_profile(package.defaults, found[PROFILE]))


def typed(package: Package, name: str, text: str) -> Any:
    """Return the value of a parameter of the pipeline that ``--set name=text`` gives.

    Raises:
        ConfigError: If there is no such parameter, or the text is no value of its type.
    """
    inputs = package.inputs
    if name not in inputs:
        raise ConfigError(f"--set {name}: {package.name} has {', '.join(sorted(inputs))}")
    if inputs[name].type == "STRING":
        return text  # as it is: `on` and `1e3` are words here
    if inputs[name].type not in TYPES:
        raise ConfigError(f"--set {name}: a {inputs[name].type.lower()} cannot be given on the command line")
    value = _value(name, text)
    types, expected = TYPES[inputs[name].type]
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise ConfigError(f"--set {name}={text}: expected {expected}")
    return value


def _value(name: str, text: str) -> Any:
    try:
        value = yaml.safe_load(text)
        # Kubeflow's parameters are JSON, which knows no NaN and no dates.
        json.dumps(value, allow_nan=False)
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise ConfigError(f"--set {name}={text}: not a value: {' '.join(str(error).split())}") from error
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"--set {name}={text}: expected a finite number")
    return value
