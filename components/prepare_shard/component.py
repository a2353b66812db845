"""Step ``prepare_shard``: one shard of a large corpus, decoded and measured."""

from typing import Any

from kfp import dsl

from components.images import image

__all__ = ["prepare_shard"]


@dsl.component(base_image=image("data"), install_kfp_package=False)
def prepare_shard(part: dsl.Output[dsl.Dataset], piece: dict[str, Any], params: dict[str, Any]) -> None:
    """Fetch one packed shard of a corpus revision, decode its recordings and measure them.

    Args:
        piece: One of those that step `plan_shards` lists: repo, revision and shard.
        params: Section `prepare` of params.yaml.

    Returns:
        part: Folder with one shard and its rows of the manifest.
    """
    from pathlib import Path

    from data import fan_out
    from mome.config import PrepareParams, parse_section
    from mome.speech.faces.models import FaceModels

    models = FaceModels.named(parse_section(PrepareParams, params))
    fan_out.prepare_shard(piece["repo"], piece["revision"], piece["shard"], Path(part.path), models)
