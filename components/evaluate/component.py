"""Step ``evaluate``: word error rate for every modality, scale and noise level."""

from typing import Any

from kfp import dsl

from components.images import image

__all__ = ["evaluate"]


@dsl.component(base_image=image("train"), install_kfp_package=False)
def evaluate(
    dataset: dsl.Input[dsl.Dataset],
    validation: dsl.Input[dsl.Metrics],
    foundation: dsl.Input[dsl.Model],
    checkpoint: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Metrics],
    evaluation_report: dsl.Output[dsl.HTML],
    params: dict[str, Any],
    files: str = "",  # noqa: ARG001
) -> None:
    """Transcribe the test split under every condition and count the word errors.

    Args:
        dataset: Shards and manifest.
        validation: Names the recordings of it that are not to be read.
        foundation: Frozen encoders and language model.
        checkpoint: Trained weights.
        params: Section `evaluate` of params.yaml.
        files: Of step `configure`, not read here: other files behind the same parameters are another step.

    Returns:
        evaluation: Folder with evaluation.json, hypotheses.jsonl and baseline.parquet. Word error rates of
            the richest modality are its figures: wer_a4v2_clean and so on.
        evaluation_report: Heat map and curves with their intervals; step gate shows the champion's, too.
    """
    import shutil
    from pathlib import Path

    from mome.config import EvaluateParams, parse_section
    from mome.evaluation.run import run as measure
    from mome.reporting.metadata import checked
    from mome.speech.usable import usable

    found = measure(
        parse_section(EvaluateParams, params),
        usable(Path(dataset.path), Path(validation.path)),
        Path(foundation.path),
        Path(checkpoint.path),
        Path(evaluation.path),
    )
    shutil.copyfile(Path(evaluation.path) / "evaluation.html", evaluation_report.path)
    print(found.model_dump_json())
    evaluation.metadata.update(checked(found.figures()))
