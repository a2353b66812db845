"""Step ``evaluate``: word error rate for every modality, scale and noise level."""

from typing import Any

from kfp import dsl

from components.images import image

__all__ = ["evaluate"]


@dsl.component(base_image=image("train"), install_kfp_package=False)
def evaluate(
    dataset: dsl.Input[dsl.Dataset],
    foundation: dsl.Input[dsl.Model],
    checkpoint: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    params: dict[str, Any],
) -> None:
    """Transcribe the test split under every condition and count the word errors.

    Args:
        dataset: Shards and manifest.
        foundation: Frozen encoders and language model.
        checkpoint: Trained weights.
        params: Section `evaluate` of params.yaml.

    Returns:
        evaluation: Folder with evaluation.json, hypotheses.jsonl and baseline.parquet.
        metrics: Word error rate of the richest modality, as wer_a4v2_clean and so on.
        report: Heat map and curves with their intervals.
    """
    import json
    import shutil
    from pathlib import Path

    from mome.config import EvaluateParams, parse_section
    from mome.evaluation.run import run as measure

    found = measure(
        parse_section(EvaluateParams, params),
        Path(dataset.path),
        Path(foundation.path),
        Path(checkpoint.path),
        Path(evaluation.path),
    )
    shutil.copyfile(Path(evaluation.path) / "evaluation.html", report.path)
    metrics.metadata.update(found.figures())
    # Without a file, kfp.local takes the output for lost and would not reuse the step.
    Path(metrics.path).write_text(json.dumps(metrics.metadata))
