"""Step ``configure``: all parameters of a run, checked before anything is computed."""

from typing import Any, NamedTuple

from kfp import dsl

from components.images import image

__all__ = ["configure"]


@dsl.component(base_image=image("data"), install_kfp_package=False)
def configure(
    parameters_report: dsl.Output[dsl.HTML],
    changes: dict[str, Any],
    profile: str,
    defaults: dict[str, Any],
    gpus: dict[str, Any],
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
    """Take the profile and the changes of the run's form and check all sections at once.

    A value of the wrong type ends the run here, in seconds, and not in the step that reads it, hours later.

    Args:
        changes: Values by their path in params.yaml, as in {"train.steps": 200}.
        profile: Whose sections stand in for those of params.yaml; `params.yaml` for none.
        defaults: All sections of params.yaml, as they were when the pipeline was compiled.
        gpus: Number of GPUs that train and evaluate get, as the pipeline was compiled; empty if unknown.

    Returns:
        parameters_report: What differs from params.yaml, and every value.
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
    from mome.config import Params, parse_section, with_profile
    from mome.files import fingerprint
    from mome.reporting.differences import describe

    found = configured(changes, with_profile(defaults, profile), gpus)
    describe(found, changes, profile, defaults, Path(parameters_report.path))
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
