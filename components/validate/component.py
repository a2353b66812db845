"""Step ``validate``: stop a corpus that would spoil a training."""

from typing import Any

from kfp import dsl

from components.images import image

__all__ = ["validate"]


@dsl.component(base_image=image("data"), install_kfp_package=False)
def validate(
    dataset: dsl.Input[dsl.Dataset],
    validation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    params: dict[str, Any],
) -> None:
    """Check a dataset with Great Expectations; a broken critical expectation fails the run.

    Args:
        dataset: Shards and manifest.
        params: Section `validate` of params.yaml.

    Returns:
        validation: Folder with validation.json, the result of every expectation.
        metrics: Utterances and hours per split.
        report: What was expected, what was found, and which utterances fail.
    """
    import json
    import shutil
    from pathlib import Path

    from data import validate
    from mome.config import ValidateParams, parse_section

    found = validate.run(parse_section(ValidateParams, params), Path(dataset.path), Path(validation.path))
    shutil.copyfile(Path(validation.path) / "validation.html", report.path)
    metrics.metadata.update(found.figures())
    # Without a file, kfp.local takes the output for lost and would not reuse the step.
    Path(metrics.path).write_text(json.dumps(metrics.metadata))
