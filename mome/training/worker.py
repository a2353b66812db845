"""``python -m mome.training.worker``: one of the processes that share a training, as torchrun starts them."""

from __future__ import annotations

import argparse

from torch.distributed.elastic.multiprocessing.errors import record

from mome.training.failures import explained
from mome.training.launch import add_options, read_params
from mome.training.run import run

__all__: list[str] = []


@record  # torchrun learns from it what ended the process
def _work() -> None:
    parser = argparse.ArgumentParser(prog="python -m mome.training.worker", description=__doc__)
    add_options(parser)
    given = parser.parse_args()
    params = read_params(given.params)
    with explained(params):
        run(params, given.dataset, given.foundation, given.output, given.work)


if __name__ == "__main__":
    _work()
