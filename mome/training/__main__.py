"""``python -m mome.training``: fine-tune on a prepared data set, from the command line or DVC."""

from __future__ import annotations

from mome.cli import main, paths
from mome.config import load_params
from mome.machine.devices import check_devices
from mome.speech.dataset import open_dataset
from mome.speech.usable import usable
from mome.training.failures import explained
from mome.training.run import run


def _train() -> None:
    given = paths(
        "mome.training",
        __doc__,
        dataset="folder that data.prepare wrote, or s3://bucket/prefix",
        validation="folder written by data.validate: recordings that it set aside are not read",
        foundation="folder with the frozen models",
        output="checkpoint folder to write",
        work="folder that survives an interruption",
    )
    params = load_params(given.params, given.profile).train
    check_devices(params.device)
    with explained(params):
        dataset = usable(open_dataset(given.dataset), given.validation)
        run(params, dataset, given.foundation, given.output, given.work)


if __name__ == "__main__":
    raise SystemExit(main(_train))
