"""``python -m mome.noise_estimator``: make the network that names level and kind of noise."""

from __future__ import annotations

import argparse
from pathlib import Path

from mome.cli import main
from mome.noise_estimator.run import run
from mome.speech.noise_network import WEIGHTS


def _teach() -> None:
    parser = argparse.ArgumentParser(prog="python -m mome.noise_estimator", description=__doc__)
    parser.add_argument("--output", type=Path, default=WEIGHTS, help="default: the weights in use")
    parser.add_argument("--pieces", type=int, default=6000, help="of speech, 4 s each; default: 6000")
    parser.add_argument("--steps", type=int, default=1200, help="of training; default: 1200")
    parser.add_argument("--seed", type=int, default=23, help="default: 23")
    parser.add_argument(
        "--recordings",
        type=Path,
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="of people, a voice each, every folder heard as often as the synthetic voices; default: none",
    )
    parser.add_argument("--start", type=Path, help="weights to go on from; default: none")
    given = parser.parse_args()
    run(
        given.output,
        pieces=given.pieces,
        steps=given.steps,
        seed=given.seed,
        recordings=given.recordings,
        start=given.start,
    )


if __name__ == "__main__":
    raise SystemExit(main(_teach))
