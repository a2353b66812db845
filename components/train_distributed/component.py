"""Step ``train_distributed``: fine-tune on several nodes, as step ``train`` does on one."""

from typing import Any

from kfp import dsl

from components.images import image

__all__ = ["train_distributed"]


# Resources and place are those of the nodes: this step itself only waits. Variables and volumes are for both.
@dsl.component(
    base_image=image("train"),
    install_kfp_package=False,
    task_config_passthroughs=[
        dsl.TaskConfigField.RESOURCES,
        dsl.TaskConfigField.KUBERNETES_TOLERATIONS,
        dsl.TaskConfigField.KUBERNETES_NODE_SELECTOR,
        dsl.TaskConfigField.KUBERNETES_AFFINITY,
        dsl.TaskConfigPassthrough(field=dsl.TaskConfigField.ENV, apply_to_task=True),
        dsl.TaskConfigPassthrough(field=dsl.TaskConfigField.KUBERNETES_VOLUMES, apply_to_task=True),
    ],
)
def train_distributed(
    dataset: dsl.Input[dsl.Dataset],
    validation: dsl.Input[dsl.Metrics],
    foundation: dsl.Input[dsl.Model],
    checkpoint: dsl.Output[dsl.Model],
    training_report: dsl.Output[dsl.HTML],
    params: dict[str, Any],
    layout: dict[str, Any],
    config: dsl.TaskConfig,
    files: str = "",  # noqa: ARG001
) -> None:
    """Fine-tune on several nodes with a TrainJob of Kubeflow Trainer, and wait for it.

    Inputs, unfinished state and result pass through the folder that MOME_WORK_DIR names, which must lie
    on a volume that the nodes can all mount (ReadWriteMany). A training that was killed goes on where it
    stood.

    Args:
        dataset: Shards and manifest.
        validation: Names the recordings of it that are not to be read.
        foundation: Frozen encoders and language model.
        params: Section `train` of params.yaml.
        layout: Number of nodes and processes, image, runtime; see `components/train_distributed/layout.py`.
        config: Resources, variables and volumes of this step, which Kubeflow fills in.
        files: Of step `configure`, not read here: other files behind the same parameters are another step.

    Returns:
        checkpoint: Folder with the trained weights (safetensors) and their configuration.
        training_report: Losses and throughput by step, and the parameters.
    """
    import os
    from pathlib import Path

    from components.train_distributed.job import train_on_nodes
    from components.train_distributed.layout import Layout
    from mome.config import TrainParams, parse_section
    from mome.reporting.metadata import checked
    from mome.speech.usable import usable
    from mome.training.describe import describe

    work = Path(os.environ.get("MOME_WORK_DIR", "var/work"))
    train_on_nodes(
        parse_section(TrainParams, params),
        parse_section(Layout, layout),
        config,
        usable(Path(dataset.path), Path(validation.path)),
        Path(foundation.path),
        Path(checkpoint.path),
        work,
    )
    checkpoint.metadata.update(checked(describe(Path(checkpoint.path), work, Path(training_report.path))))
