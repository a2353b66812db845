"""Step ``validate``: stop a corpus that would spoil a training."""

from typing import Any, NamedTuple

from kfp import dsl

from components.images import image

__all__ = ["validate"]


@dsl.component(base_image=image("data"), install_kfp_package=False)
def validate(
    dataset: dsl.Input[dsl.Dataset],
    validation: dsl.Output[dsl.Metrics],
    validation_report: dsl.Output[dsl.HTML],
    params: dict[str, Any],
) -> NamedTuple("Verdict", [("passed", bool), ("reason", str)]):
    """Check a dataset with Great Expectations; step `require` ends the run if it did not pass.

    Args:
        dataset: Shards and manifest.
        params: Section `validate` of params.yaml.

    Returns:
        validation: Folder with validation.json, the result of every expectation, and set_aside.jsonl, the
            recordings that cannot be used, and why. Utterances and hours per split are its figures.
        validation_report: What was expected, what was found, and which utterances fail.
        passed: Whether every critical expectation holds.
        reason: The broken ones, with the first utterances that break each.
    """
    import shutil
    from pathlib import Path

    from data import validate
    from mome.config import ValidateParams, parse_section
    from mome.reporting.metadata import checked

    found = validate.check(parse_section(ValidateParams, params), Path(dataset.path), Path(validation.path))
    shutil.copyfile(Path(validation.path) / "validation.html", validation_report.path)
    validation.metadata.update(checked(found.figures()))
    return found.passed, validate.reason(found)
