"""Step ``version_corpus``: give the recordings a revision that can be pulled again byte for byte."""

from typing import Any, NamedTuple

from kfp import dsl

from components.images import image

__all__ = ["version_corpus"]


@dsl.component(base_image=image("data"), install_kfp_package=False)
def version_corpus(
    corpus_report: dsl.Output[dsl.HTML],
    corpus: str,
    registry: str,
    params: dict[str, Any],
) -> NamedTuple("CorpusRevision", [("name", str), ("repo", str), ("revision", str)]):
    """Version a corpus with DVC and return the revision that all later steps work on.

    Args:
        corpus: The word `embedded`, a folder of recordings, or the address of a DVC repository.
        registry: Folder that outlives a run: corpus repositories, their DVC remotes, promoted models.
        params: Section `prepare` of params.yaml.

    Returns:
        corpus_report: What was asked for and the commit that it came to, splits, how to have the recordings.
        name: Name of the corpus, as reports and promoted models carry it.
        repo: DVC repository that holds the recordings.
        revision: Git commit in that repository; it never moves.
    """
    from pathlib import Path

    from data import version
    from data.revision_report import describe
    from mome.config import PrepareParams, parse_section

    found = version.versioned(corpus, parse_section(PrepareParams, params), version.corpora(registry))
    describe(corpus, found, Path(corpus_report.path))
    return found.revision
