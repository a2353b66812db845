"""``python -m mome.training``: fine-tune on a prepared data set, from the command line or DVC."""

from __future__ import annotations

import argparse
from pathlib import Path

from mome.cli import main
from mome.config import load_params
from mome.training.run import run


def _train() -> None:
    parser = argparse.ArgumentParser(prog="python -m mome.training", description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="folder written by data.prepare")
    parser.add_argument("--foundation", type=Path, required=True, help="folder with the frozen models")
    parser.add_argument("--output", type=Path, required=True, help="checkpoint folder to write")
    parser.add_argument("--work", type=Path, required=True, help="folder that survives an interruption")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    arguments = parser.parse_args()
    params = load_params(arguments.params).train
    run(params, arguments.dataset, arguments.foundation, arguments.output, arguments.work)


if __name__ == "__main__":
    raise SystemExit(main(_train))
