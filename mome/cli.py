"""How the commands of the project begin and end: paths in; an error that a person can mend is one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from mome.errors import MomeError

__all__ = ["main", "paths"]


def main(command: Callable[[], object]) -> int:
    """Run a command and return its exit code: 0, 1 after a `MomeError`, 130 after Ctrl-C.

    Any other exception is our own mistake and keeps its traceback. Use as
    ``raise SystemExit(main(_command))``.
    """
    try:
        command()
    except MomeError as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def paths(
    module: str, description: str | None, optional: Mapping[str, str] | None = None, **options: str
) -> argparse.Namespace:
    """Parse the command line of a stage: a required path for each option, ``--params`` and ``--profile``.

    ``--dataset`` stays text: it may be an address, which `mome.speech.dataset.open_dataset` follows.

    Args:
        module: As ``python -m`` is given it.
        description: What the command does.
        optional: Likewise for paths that may be left out.
        options: Name of each option and what it is.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    for name, meaning in options.items():
        as_given = str if name == "dataset" else Path
        parser.add_argument(f"--{name}", type=as_given, required=True, help=meaning)
    for name, meaning in (optional or {}).items():
        parser.add_argument(f"--{name}", type=Path, help=meaning)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    parser.add_argument("--profile", help="of mome/profiles; its sections stand in for those of params.yaml")
    return parser.parse_args()
