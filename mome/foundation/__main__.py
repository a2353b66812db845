"""``python -m mome.foundation``: make the embedded foundation, from the command line or DVC."""

from __future__ import annotations

from mome.cli import main, paths
from mome.config import load_params
from mome.foundation.run import run


def _build() -> None:
    given = paths("mome.foundation", __doc__, output="folder to write the models to")
    run(load_params(given.params, given.profile).foundation, given.output)


if __name__ == "__main__":
    raise SystemExit(main(_build))
