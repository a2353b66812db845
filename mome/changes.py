"""Single values that differ from ``params.yaml`` or a profile, and the check of all sections together.

It is what a person fills into the form of a run, and what CI hands to a retraining.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from mome.config import EMBEDDED, Params, parse_section
from mome.errors import ConfigError
from mome.gpus import check_gpus
from mome.scales import Scale
from mome.speech.text import EMBEDDED_ALPHABET, outside_alphabet

__all__ = ["configured", "differences"]

_ADVICE = "correct it in the run's parameters and start the run again"


def configured(
    changes: Mapping[str, Any],
    sections: Mapping[str, Mapping[str, Any]],
    gpus: Mapping[str, float] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return the sections with the changes applied, checked one by one and against each other.

    Args:
        changes: Values by their path: ``{"train.steps": 200, "gate.max_wer.av.a4v2": 0.05}``.
        sections: All sections of ``params.yaml``.
        gpus: As `check_gpus`, where a cluster is known.

    Raises:
        ConfigError: If the changes are none, a path leads nowhere, a value has the wrong type, or two
            sections, or they and the cluster, contradict each other so that the run would fail hours later.
    """
    # A form takes any JSON, whatever type it asks for.
    if not isinstance(changes, Mapping):
        raise ConfigError(
            f'changes: expected values by their path, as in {{"train.steps": 200}}, or {{}} for none, got '
            f"{changes!r}; {_ADVICE}"
        )
    changed: dict[str, Any] = copy.deepcopy(dict(sections))
    for path, value in changes.items():
        _put(changed, path, value)
    try:
        params = parse_section(Params, changed)
    except ConfigError as error:
        raise ConfigError(f"{str(error).removeprefix('Params: ')}; {_ADVICE}") from error
    _agree(params)
    try:
        check_gpus(params, gpus or {})
    except ConfigError as error:
        raise ConfigError(f"{error}; {_ADVICE}") from error
    return params.sections()


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes that lead from sections to others: what `configured` takes, and nothing more.

    Args:
        before: All sections, as `configured` returns them.
        after: The same, changed.
    """
    return dict(_differences(before, after, ""))


def _differences(
    before: Mapping[str, Any], after: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Any]]:
    for name, value in after.items():
        old = before[name]
        inner = isinstance(value, Mapping) and isinstance(old, Mapping) and value.keys() == old.keys()
        # A name with a dot could not be told from a path: what holds it is given as a whole.
        if inner and not any("." in key for key in value):
            yield from _differences(old, value, f"{prefix}{name}.")
        elif value != old:
            yield f"{prefix}{name}", value


def _put(sections: dict[str, Any], path: str, value: Any) -> None:
    *parents, name = path.split(".")
    inside: Any = sections
    for depth, parent in enumerate(parents):
        where = ".".join(parents[:depth]) or "params.yaml"
        if parent not in inside:
            raise ConfigError(f"changes: {path}: {where} has {', '.join(inside)}, not {parent!r}; {_ADVICE}")
        inside = inside[parent]
        if not isinstance(inside, dict):
            where = ".".join(parents[: depth + 1])
            raise ConfigError(f"changes: {path}: {where} is one value and holds no others; {_ADVICE}")
    if not parents:
        raise ConfigError(f"changes: {path}: expected section.name, as in train.steps; {_ADVICE}")
    if len(parents) == 1 and name not in inside:
        raise ConfigError(
            f"changes: {path}: section {parents[0]} has {', '.join(inside)}, not {name!r}; {_ADVICE}"
        )
    inside[name] = value


def _agree(params: Params) -> None:
    trained = set(params.train.scales)
    if params.package.default_scale not in trained:
        raise ConfigError(
            f"package.default_scale is {params.package.default_scale}, but train.scales are "
            f"{', '.join(params.train.scales)}; {_ADVICE}"
        )
    budgets = [
        budget for modality, budget in params.gate.max_wer.items() if modality in params.train.task_weights
    ]
    if not any(set(budget) == trained for budget in budgets):
        raise ConfigError(
            f"gate.max_wer: of what train.task_weights trains, {', '.join(params.train.task_weights)}, "
            f"none has a budget for exactly the scales of train.scales, {', '.join(params.train.scales)}: "
            f"the gate would reject any model; {_ADVICE}"
        )
    if None not in params.evaluate.snrs_db:
        raise ConfigError(
            f"evaluate.snrs_db: clean is missing, and the gate looks at clean speech; {_ADVICE}"
        )
    _check_more_scales(params)
    unwritable = outside_alphabet(params.validate_.alphabet, EMBEDDED_ALPHABET)
    if params.foundation.llm == EMBEDDED and unwritable:
        raise ConfigError(
            f"validate.alphabet has {unwritable}, but the embedded foundation.llm writes only "
            f"{EMBEDDED_ALPHABET.strip()} and spaces: what it was taught on would be lost; {_ADVICE}"
        )


def _check_more_scales(params: Params) -> None:
    trained = [Scale.parse(text) for text in params.train.scales]
    audio_rates = {scale.audio_rate for scale in trained}
    video_rates = {scale.video_rate for scale in trained}
    for scale in map(Scale.parse, params.evaluate.more_scales):
        fits = scale.audio_rate in audio_rates and scale.video_rate in video_rates
        if params.train.compression == "stack" and not fits:
            raise ConfigError(
                f"evaluate.more_scales has {scale}, but train.compression is stack: a rate of which there is "
                f"none in train.scales, {', '.join(params.train.scales)}, fits no projector; {_ADVICE}"
            )
