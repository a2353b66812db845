"""``python -m mome.synchrony``: make the network that hears whether sound is of a mouth."""

from __future__ import annotations

import argparse
from pathlib import Path

from mome.cli import main
from mome.speech.dataset import open_dataset
from mome.speech.synchrony_network import WEIGHTS
from mome.synchrony.run import run


def _teach() -> None:
    parser = argparse.ArgumentParser(prog="python -m mome.synchrony", description=__doc__)
    parser.add_argument(
        "datasets",
        nargs="*",
        metavar="dataset",
        help="prepared, with sound and lips of real talkers: a folder, or s3://bucket/prefix",
    )
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="default: the weights in use")
    parser.add_argument("--drawn", type=int, default=40, help="clips of drawn faces; default: 40")
    parser.add_argument("--steps", type=int, default=600, help="of training; default: 600")
    parser.add_argument("--seed", type=int, default=29, help="default: 29")
    given = parser.parse_args()
    datasets = [open_dataset(address) for address in given.datasets]
    run(given.output, datasets, drawn=given.drawn, steps=given.steps, seed=given.seed)


if __name__ == "__main__":
    raise SystemExit(main(_teach))
