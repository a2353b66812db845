"""A cure for kfp.local 2.17, which runs compiled pipelines on this machine.

It indents what steps print by replacing ``print``, and sets up the root logger for itself; steps at the same
time (``ParallelFor``) put back each other's, and all that follows stays indented and logged.
"""

from __future__ import annotations

import builtins
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

__all__ = ["cured"]


@contextmanager
def cured() -> Iterator[None]:
    """Let pipelines run inside, and leave ``print`` and logging as they were."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    # All is put back at the end, whatever happened to them in between.
    with patch.object(builtins, "print", builtins.print):
        try:
            yield
        finally:
            root.setLevel(level)
            root.handlers[:] = handlers
