"""Step ``plan_shards``: the pieces in which a large corpus is prepared."""

from typing import Any

from kfp import dsl

from components.images import image

__all__ = ["plan_shards"]


@dsl.component(base_image=image("data"), install_kfp_package=False)
def plan_shards(repo: str, revision: str) -> list[dict[str, Any]]:
    """List the packed shards of a corpus revision; each is prepared by a step of its own.

    Args:
        repo: DVC repository that holds the recordings.
        revision: Git commit in that repository.

    Returns:
        Output: For each shard all that its step needs: repo, revision and shard.
    """
    import tempfile
    from pathlib import Path

    from data import fan_out

    # Of this name and whole: kfp.local loops over no other output, and mixes up what else a loop takes.
    return fan_out.plan(repo, revision, Path(tempfile.gettempdir()))
