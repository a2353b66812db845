"""``python -m mome.evaluation``: measure a checkpoint, from the command line or DVC."""

from __future__ import annotations

from mome.cli import main, paths
from mome.config import load_params
from mome.evaluation.run import run
from mome.speech.usable import usable


def _evaluate() -> None:
    given = paths(
        "mome.evaluation",
        __doc__,
        dataset="folder written by data.prepare",
        validation="folder written by data.validate: recordings that it set aside are not read",
        foundation="folder with the frozen models",
        checkpoint="folder written by mome.training",
        output="folder for table, hypotheses and report",
    )
    params = load_params(given.params, given.profile).evaluate
    run(params, usable(given.dataset, given.validation), given.foundation, given.checkpoint, given.output)


if __name__ == "__main__":
    raise SystemExit(main(_evaluate))
