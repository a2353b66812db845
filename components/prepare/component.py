"""Step ``prepare``: from a corpus revision to shards and a manifest."""

from typing import Any

from kfp import dsl

from components.images import image

__all__ = ["prepare"]


@dsl.component(base_image=image("data"), install_kfp_package=False)
def prepare(
    dataset: dsl.Output[dsl.Dataset],
    dataset_report: dsl.Output[dsl.HTML],
    repo: str,
    revision: str,
    params: dict[str, Any],
) -> None:
    """Decode the recordings of one corpus revision and measure them.

    Args:
        repo: DVC repository that holds the recordings.
        revision: Git commit in that repository.
        params: Section `prepare` of params.yaml.

    Returns:
        dataset: Folder with the shards, manifest.parquet (one row per utterance) and corpus.json.
        dataset_report: Splits, what cannot be used, mouths and their sound, how long and how clean all are.
    """
    from pathlib import Path

    from data import prepare
    from data.dataset_report import describe
    from mome.config import PrepareParams, parse_section
    from mome.reporting.metadata import checked

    prepare.run(parse_section(PrepareParams, params), repo, revision, Path(dataset.path))
    dataset.metadata.update(checked(describe(Path(dataset.path), Path(dataset_report.path))))
