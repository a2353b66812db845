"""Step ``collect_shards``: the shards of a large corpus become one dataset."""

from kfp import dsl

from components.images import image

__all__ = ["collect_shards"]


@dsl.component(base_image=image("data"), install_kfp_package=False)
def collect_shards(
    parts: dsl.Input[list[dsl.Dataset]],
    dataset: dsl.Output[dsl.Dataset],
    dataset_report: dsl.Output[dsl.HTML],
    repo: str,
    revision: str,
) -> None:
    """Put the prepared shards together: the rows and clips that step `prepare` would have made.

    Args:
        parts: What every `prepare_shard` wrote.
        repo: DVC repository that holds the recordings.
        revision: Git commit in that repository.

    Returns:
        dataset: Folder with the shards, manifest.parquet (one row per utterance) and corpus.json.
        dataset_report: Splits, what cannot be used and why, how long and how clean the recordings are.
    """
    from operator import attrgetter
    from pathlib import Path

    from data import fan_out
    from data.dataset_report import describe
    from mome.reporting.metadata import checked

    folder = Path(dataset.path)
    fan_out.collect(repo, revision, list(map(Path, map(attrgetter("path"), parts))), folder)
    dataset.metadata.update(checked(describe(folder, Path(dataset_report.path))))
