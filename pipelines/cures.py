"""Cures for kfp.local 2.17, which runs compiled pipelines on this machine.

It indents what steps print by replacing ``print``, and sets up the root logger for itself; steps at the same
time (``ParallelFor``) put back each other's, and all that follows stays indented and logged.

It puts this Python's path in the place of every ``python3`` of a step's command: as it is into a line of a
shell, which ends at the first space, and into the names of folders that happen to hold that word.
"""

from __future__ import annotations

import builtins
import logging
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from kfp.local import subprocess_task_handler

__all__ = ["cured"]

_SCRIPT = "kfp.dsl.executor_main"  # runs in the one line of a command that names Python


@contextmanager
def cured() -> Iterator[None]:
    """Let pipelines run inside, and leave ``print`` and logging as they were."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    # All is put back at the end, whatever happened to them in between.
    with (
        patch.object(builtins, "print", builtins.print),
        patch.object(subprocess_task_handler, "replace_python_executable", _with_python),
    ):
        try:
            yield
        finally:
            root.setLevel(level)
            root.handlers[:] = handlers


def _with_python(full_command: list[str], new_executable: str) -> list[str]:
    script = next(index for index, part in enumerate(full_command) if _SCRIPT in part)
    replaced = full_command[script].replace("python3", shlex.quote(new_executable))
    return [*full_command[:script], replaced, *full_command[script + 1 :]]
