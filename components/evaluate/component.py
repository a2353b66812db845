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
    card: dsl.Output[dsl.Markdown],
    params: dict[str, Any],
    files: str = "",  # noqa: ARG001
) -> None:
    """Transcribe the test split under every condition and count the word errors.

    Args:
        dataset: Shards and manifest.
        foundation: Frozen encoders and language model.
        checkpoint: Trained weights.
        params: Section `evaluate` of params.yaml.
        files: Of step `configure`, not read here: other files behind the same parameters are another step.

    Returns:
        evaluation: Folder with evaluation.json, hypotheses.jsonl and baseline.parquet.
        metrics: Word error rate of the richest modality, as wer_a4v2_clean and so on.
        report: Heat map and curves with their intervals; the champion's stand beside them in step gate.
        card: Word error rates of the richest modality.
    """
    import shutil
    from pathlib import Path

    from mome.config import EvaluateParams, parse_section
    from mome.evaluation.run import run as measure
    from mome.reporting.metrics import write_metrics

    found = measure(
        parse_section(EvaluateParams, params),
        Path(dataset.path),
        Path(foundation.path),
        Path(checkpoint.path),
        Path(evaluation.path),
    )
    shutil.copyfile(Path(evaluation.path) / "evaluation.html", report.path)
    shutil.copyfile(Path(evaluation.path) / "evaluation.md", card.path)
    print(found.model_dump_json())
    metrics.metadata.update(write_metrics(Path(metrics.path), found.figures()))
