"""Step ``build_foundation``: the frozen encoders and language model of the embedded default."""

from typing import Any

from kfp import dsl

from components.images import image

__all__ = ["build_foundation"]


@dsl.component(base_image=image("train"), install_kfp_package=False)
def build_foundation(foundation: dsl.Output[dsl.Model], params: dict[str, Any]) -> None:
    """Train the small audio encoder, video encoder and language model that stay frozen afterwards.

    Args:
        params: Section `foundation` of params.yaml.

    Returns:
        foundation: Folder with the three models, as transformers saves them.
    """
    from pathlib import Path

    from mome.config import FoundationParams, parse_section
    from mome.foundation.run import run as build

    build(parse_section(FoundationParams, params), Path(foundation.path))
