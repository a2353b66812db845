"""``python -m mome.foundation``: make the embedded foundation, from the command line or DVC."""

from __future__ import annotations

import argparse
from pathlib import Path

from mome.cli import main
from mome.config import load_params
from mome.foundation.run import run


def _build() -> None:
    parser = argparse.ArgumentParser(prog="python -m mome.foundation", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder to write the models to")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    arguments = parser.parse_args()
    run(load_params(arguments.params).foundation, arguments.output)


if __name__ == "__main__":
    raise SystemExit(main(_build))
