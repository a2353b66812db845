"""``python -m mome.evaluation.routing``: look into the router of a checkpoint, from the command line."""

from __future__ import annotations

from mome.cli import main, paths
from mome.config import load_params
from mome.evaluation.routing.run import run
from mome.speech.dataset import open_dataset


def _routing() -> None:
    given = paths(
        "mome.evaluation.routing",
        __doc__,
        {"evaluation": "folder with the evaluation.json of the checkpoint, for word errors"},
        dataset="folder that data.prepare wrote, or s3://bucket/prefix",
        foundation="folder with the frozen models",
        checkpoint="folder written by mome.training",
        output="folder for routing.json and routing.html",
    )
    params = load_params(given.params, given.profile).evaluate
    run(
        params,
        open_dataset(given.dataset),
        given.foundation,
        given.checkpoint,
        given.output,
        evaluation=given.evaluation,
    )


if __name__ == "__main__":
    raise SystemExit(main(_routing))
