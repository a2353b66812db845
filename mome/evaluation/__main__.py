"""``python -m mome.evaluation``: measure a checkpoint, from the command line or DVC."""

from __future__ import annotations

import argparse
from pathlib import Path

from mome.cli import main
from mome.config import load_params
from mome.evaluation.run import run


def _evaluate() -> None:
    parser = argparse.ArgumentParser(prog="python -m mome.evaluation", description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="folder written by data.prepare")
    parser.add_argument("--foundation", type=Path, required=True, help="folder with the frozen models")
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder written by mome.training")
    parser.add_argument("--output", type=Path, required=True, help="folder for table, hypotheses and report")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    arguments = parser.parse_args()
    params = load_params(arguments.params).evaluate
    run(params, arguments.dataset, arguments.foundation, arguments.checkpoint, arguments.output)


if __name__ == "__main__":
    raise SystemExit(main(_evaluate))
