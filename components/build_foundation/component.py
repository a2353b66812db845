"""Step ``build_foundation``: the frozen encoders and the LLM, taught here or taken from elsewhere."""

from typing import Any

from kfp import dsl

from components.images import image

__all__ = ["build_foundation"]


@dsl.component(base_image=image("train"), install_kfp_package=False)
def build_foundation(
    foundation: dsl.Output[dsl.Model],
    foundation_report: dsl.Output[dsl.HTML],
    params: dict[str, Any],
    files: str = "",  # noqa: ARG001
) -> None:
    """Teach or take the audio encoder, the video encoder and the LLM that stay frozen afterwards.

    Args:
        params: Section `foundation` of params.yaml.
        files: Of step `configure`, not read here: other files behind the same parameters are another step.

    Returns:
        foundation: Folder with the three models, as transformers saves them.
        foundation_report: Each model with its source, size and parameters, and how well it learnt.
    """
    from pathlib import Path

    from mome.config import FoundationParams, parse_section
    from mome.foundation.describe import describe
    from mome.foundation.run import run as build
    from mome.reporting.metadata import checked

    build(parse_section(FoundationParams, params), Path(foundation.path))
    foundation.metadata.update(checked(describe(Path(foundation.path), Path(foundation_report.path))))
