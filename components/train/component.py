"""Step ``train``: fine-tune MoME and the projectors over all scales."""

from typing import Any

from kfp import dsl

from components.images import image

__all__ = ["train"]


@dsl.component(base_image=image("train"), install_kfp_package=False)
def train(
    dataset: dsl.Input[dsl.Dataset],
    foundation: dsl.Input[dsl.Model],
    checkpoint: dsl.Output[dsl.Model],
    report: dsl.Output[dsl.HTML],
    params: dict[str, Any],
) -> None:
    """Fine-tune MoME; a training that was killed goes on where it stood.

    The unfinished state lies in the folder that the environment variable MOME_WORK_DIR names. It is
    not an input: it changes when a result is there, never the result.

    Args:
        dataset: Shards and manifest.
        foundation: Frozen encoders and language model.
        params: Section `train` of params.yaml.

    Returns:
        checkpoint: Folder with the trained weights (safetensors) and their configuration.
        report: How the loss went down.
    """
    import os
    import shutil
    from pathlib import Path

    from mome.config import TrainParams, parse_section
    from mome.training.run import run as fine_tune

    fine_tune(
        parse_section(TrainParams, params),
        Path(dataset.path),
        Path(foundation.path),
        Path(checkpoint.path),
        Path(os.environ.get("MOME_WORK_DIR", "var/work")),
    )
    shutil.copyfile(Path(checkpoint.path) / "training.html", report.path)
