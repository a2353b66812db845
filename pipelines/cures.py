"""Cures for kfp.local 2.17, which runs compiled pipelines on this machine.

- Its conditions know a step's only output and no named one: a condition on output ``retrain`` of step
  ``check-drift`` reads ``pipelinechannel--check-drift-retrain``, which it finds only where the output is
  called ``Output``. Else it skips the branch, and the run succeeds without it.
- It indents what steps print by replacing ``print``, and sets up the root logger for itself; steps at the
  same time (``ParallelFor``) put back each other's, and all that follows stays indented and logged.
"""

from __future__ import annotations

import builtins
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from kfp.local.orchestrator.enhanced_dag_orchestrator import ConditionEvaluator

__all__ = ["cured"]

_PREFIX = "pipelinechannel--"


@contextmanager
def cured() -> Iterator[None]:
    """Let pipelines inside read any output in conditions, and leave ``print`` and logging as they were."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    resolve = ConditionEvaluator._resolve_pipeline_channel

    def resolved(channel_ref: str, io_store: Any) -> Any:
        words = channel_ref.removeprefix(_PREFIX).split("-")
        for place in range(1, len(words)):
            try:
                return io_store.get_task_output("-".join(words[:place]), "-".join(words[place:]))
            except (KeyError, ValueError):
                continue
        return resolve(channel_ref, io_store)

    # All is put back at the end, whatever happened to them in between.
    with (
        patch.object(ConditionEvaluator, "_resolve_pipeline_channel", staticmethod(resolved)),
        patch.object(builtins, "print", builtins.print),
    ):
        try:
            yield
        finally:
            root.setLevel(level)
            root.handlers[:] = handlers
