"""``python -m mome.evaluation``: measure a checkpoint, from the command line or DVC."""

from __future__ import annotations

from mome.cli import main, paths
from mome.config import load_params
from mome.evaluation.run import run
from mome.speech.dataset import open_dataset
from mome.speech.usable import usable


def _evaluate() -> None:
    given = paths(
        "mome.evaluation",
        __doc__,
        dataset="folder that data.prepare wrote, or s3://bucket/prefix",
        validation="folder written by data.validate: recordings that it set aside are not read",
        foundation="folder with the frozen models",
        checkpoint="folder written by mome.training",
        output="folder for table, hypotheses and report",
    )
    params = load_params(given.params, given.profile).evaluate
    dataset = usable(open_dataset(given.dataset), given.validation)
    run(params, dataset, given.foundation, given.checkpoint, given.output)


if __name__ == "__main__":
    raise SystemExit(main(_evaluate))
