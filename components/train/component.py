"""Step ``train``: fine-tune MoME and the projectors over all scales."""

from typing import Any

from kfp import dsl

from components.images import image

__all__ = ["train"]


@dsl.component(base_image=image("train"), install_kfp_package=False)
def train(
    dataset: dsl.Input[dsl.Dataset],
    validation: dsl.Input[dsl.Metrics],
    foundation: dsl.Input[dsl.Model],
    checkpoint: dsl.Output[dsl.Model],
    training_report: dsl.Output[dsl.HTML],
    params: dict[str, Any],
    processes: int = 1,
    files: str = "",  # noqa: ARG001
) -> None:
    """Fine-tune MoME; a training that was killed goes on where it stood.

    The unfinished state lies in the folder that the environment variable MOME_WORK_DIR names. It is
    not an input: it changes when a result is there, never the result.

    Args:
        dataset: Shards and manifest.
        validation: Names the recordings of it that are not to be read.
        foundation: Frozen encoders and language model.
        params: Section `train` of params.yaml.
        processes: How many share each step, on GPUs one for each; they end with the weights of one.
        files: Of step `configure`, not read here: other files behind the same parameters are another step.

    Returns:
        checkpoint: Folder with the trained weights (safetensors) and their configuration.
        training_report: Losses and throughput by step, and the parameters.
    """
    import os
    from pathlib import Path

    from mome.config import TrainParams, parse_section
    from mome.reporting.metadata import checked
    from mome.speech.usable import usable
    from mome.training.describe import describe
    from mome.training.launch import launch

    work = Path(os.environ.get("MOME_WORK_DIR", "var/work"))
    launch(
        parse_section(TrainParams, params),
        usable(Path(dataset.path), Path(validation.path)),
        Path(foundation.path),
        Path(checkpoint.path),
        work,
        processes,
    )
    checkpoint.metadata.update(checked(describe(Path(checkpoint.path), work, Path(training_report.path))))
