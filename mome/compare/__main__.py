"""``python -m mome.compare``: train the papers' methods on the same utterances, and write their tables."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from mome.cli import main
from mome.compare.plan import DEFAULT_METHODS
from mome.compare.run import Folders, run
from mome.compare.tuning import Grid
from mome.config import load_params
from mome.errors import ConfigError
from mome.machine.processor import number_of_threads
from mome.methods import METHODS
from mome.speech.dataset import open_dataset

_NUM_SEEDS = 3
_LENGTHS = (200, 400, 800)


def _parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mome.compare", description=__doc__)
    parser.add_argument(
        "--dataset", required=True, help="folder that data.prepare wrote, or s3://bucket/prefix"
    )
    parser.add_argument("--foundation", type=Path, required=True, help="folder with the frozen models")
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for comparison.json, .md and .html"
    )
    parser.add_argument(
        "--work",
        type=Path,
        required=True,
        help="folder that outlives an interruption; empty it when the code of a method has changed",
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=list(METHODS),
        default=list(DEFAULT_METHODS),
        metavar="NAME",
        help=f"default: {' '.join(DEFAULT_METHODS)}",
    )
    parser.add_argument("--seeds", nargs="+", type=int, help=f"default: {_NUM_SEEDS} from train.seed on")
    parser.add_argument(
        "--steps",
        nargs="+",
        type=int,
        default=list(_LENGTHS),
        metavar="STEPS",
        help="lengths of training, ascending: the first is for the search of learning rates, the last that "
        f"still lowers validation is for the tables; default: {' '.join(map(str, _LENGTHS))}",
    )
    for name, tried in (("--learning-rates", Grid().learning_rates), ("--factors", Grid().factors)):
        parser.add_argument(
            name,
            nargs="+",
            type=float,
            default=list(tried),
            metavar="NUMBER",
            help=f"to try for every method; default: {' '.join(f'{value:g}' for value in tried)}",
        )
    parser.add_argument(
        "--processes",
        type=int,
        default=number_of_threads("auto"),
        metavar="NUMBER",
        help="models that are trained at once, each with its share of the threads; default: a core for each",
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    return parser.parse_args(arguments)


def _compare() -> None:
    given = _parse()
    if min(given.steps) < 1 or sorted(set(given.steps)) != given.steps:
        raise ConfigError(
            f"--steps is {' '.join(map(str, given.steps))}, expected numbers from 1 on, each larger than the "
            "one before"
        )
    if given.processes < 1:
        raise ConfigError(f"--processes is {given.processes}, expected at least 1")
    params = load_params(given.params)
    first = params.train.seed
    seeds = given.seeds or list(range(first, first + _NUM_SEEDS))
    for name, values in (("seeds", seeds), ("methods", given.methods)):
        if len(set(values)) != len(values):
            raise ConfigError(f"--{name} names one twice: {' '.join(map(str, values))}")
    # Without the folders: they say nothing about the result, and belong to one machine.
    told = ["python", "-m", "mome.compare", "--seeds", *map(str, seeds), "--methods", *given.methods]
    told += ["--steps", *map(str, given.steps)]
    told += ["--learning-rates", *(f"{rate:g}" for rate in given.learning_rates)]
    told += ["--factors", *(f"{factor:g}" for factor in given.factors)]
    grid = Grid(tuple(given.learning_rates), tuple(given.factors))
    folders = Folders(open_dataset(given.dataset), given.foundation, given.output, given.work)
    run(
        params.train,
        params.evaluate,
        folders,
        given.methods,
        seeds,
        given.steps,
        grid,
        shlex.join(told),
        given.processes,
    )


if __name__ == "__main__":
    raise SystemExit(main(_compare))
