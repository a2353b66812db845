"""How every command of the project ends: an error that a person can mend is one line, not a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from mome.errors import MomeError

__all__ = ["main"]


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
