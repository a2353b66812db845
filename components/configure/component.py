"""Step ``configure``: all parameters of a run, checked before anything is computed."""

from typing import Any, NamedTuple

from kfp import dsl

from components.images import image

__all__ = ["configure"]


@dsl.component(base_image=image("data"), install_kfp_package=False)
def configure(
    report: dsl.Output[dsl.HTML],
    card: dsl.Output[dsl.Markdown],
    changes: dict[str, Any],
    defaults: dict[str, Any],
    gpus: dict[str, Any],
    prepare: dict[str, Any],
    validate: dict[str, Any],
    foundation: dict[str, Any],
    train: dict[str, Any],
    evaluate: dict[str, Any],
    gate: dict[str, Any],
    package: dict[str, Any],
    monitor: dict[str, Any],
    rehearse: dict[str, Any],
) -> NamedTuple(
    "Sections",
    [
        ("prepare", dict[str, Any]),
        ("validate", dict[str, Any]),
        ("foundation", dict[str, Any]),
        ("train", dict[str, Any]),
        ("evaluate", dict[str, Any]),
        ("gate", dict[str, Any]),
        ("package", dict[str, Any]),
        ("monitor", dict[str, Any]),
        ("rehearse", dict[str, Any]),
        ("files", str),
    ],
):
    """Apply the changes of the run's form to the sections and check all of them at once.

    A value of the wrong type ends the run here, in seconds, and not in the step that reads it, hours later.

    Args:
        changes: Values by their path in params.yaml, as in {"train.steps": 200}.
        defaults: All sections of params.yaml, as they were when the pipeline was compiled.
        gpus: Number of GPUs that train and evaluate get, as the pipeline was compiled; empty if unknown.
        prepare: Section of params.yaml.
        validate: Section of params.yaml.
        foundation: Section of params.yaml.
        train: Section of params.yaml.
        evaluate: Section of params.yaml.
        gate: Section of params.yaml.
        package: Section of params.yaml.
        monitor: Section of params.yaml.
        rehearse: Section of params.yaml.

    Returns:
        report: What differs from params.yaml, and every value.
        card: What differs from params.yaml.
        prepare: The section as the steps take it.
        validate: The section as the steps take it.
        foundation: The section as the steps take it.
        train: The section as the steps take it.
        evaluate: The section as the steps take it.
        gate: The section as the steps take it.
        package: The section as the steps take it.
        monitor: The section as the steps take it.
        rehearse: The section as the steps take it.
        files: What tells the content of files that the parameters name from another one.
    """
    from pathlib import Path

    from mome.changes import configured
    from mome.config import Params, parse_section
    from mome.files import fingerprint
    from mome.reporting.differences import describe

    found = configured(
        changes,
        {
            "prepare": prepare,
            "validate": validate,
            "foundation": foundation,
            "train": train,
            "evaluate": evaluate,
            "gate": gate,
            "package": package,
            "monitor": monitor,
            "rehearse": rehearse,
        },
        gpus,
    )
    describe(found, changes, defaults, Path(report.path), Path(card.path))
    return (
        found["prepare"],
        found["validate"],
        found["foundation"],
        found["train"],
        found["evaluate"],
        found["gate"],
        found["package"],
        found["monitor"],
        found["rehearse"],
        fingerprint(parse_section(Params, found)),
    )
