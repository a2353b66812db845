"""Step ``version_corpus``: give the recordings a revision that can be pulled again byte for byte."""

from typing import Any, NamedTuple

from kfp import dsl

from components.images import image

__all__ = ["version_corpus"]


@dsl.component(base_image=image("data"), install_kfp_package=False)
def version_corpus(corpus: str, registry: str, params: dict[str, Any]) -> NamedTuple(
    "CorpusRevision", [("name", str), ("repo", str), ("revision", str)]
):
    """Version a corpus with DVC and return the revision that all later steps work on.

    Args:
        corpus: The word `embedded`, a folder of recordings, or the address of a DVC repository.
        registry: Folder that outlives a run: corpus repositories, their DVC remotes, promoted models.
        params: Section `prepare` of params.yaml.

    Returns:
        name: Name of the corpus, as reports and promoted models carry it.
        repo: DVC repository that holds the recordings.
        revision: Git commit in that repository; it never moves.
    """
    from pathlib import Path

    from data import version
    from mome.config import PrepareParams, parse_section

    return version.run(corpus, parse_section(PrepareParams, params), Path(registry) / "corpora")
