"""A cure for kfp.local, whose conditions know a step's only output and no named one.

In a compiled pipeline a condition on output ``retrain`` of step ``check-drift`` reads
``pipelinechannel--check-drift-retrain``. kfp.local 2.17 finds such a value only where the output is
called ``Output``; otherwise it skips the branch, and the run succeeds without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from kfp.local.orchestrator.enhanced_dag_orchestrator import ConditionEvaluator

__all__ = ["named_outputs"]

_PREFIX = "pipelinechannel--"


@contextmanager
def named_outputs() -> Iterator[None]:
    """Let conditions of pipelines that run here read any output of a step before them."""
    resolve = ConditionEvaluator._resolve_pipeline_channel

    def resolved(channel_ref: str, io_store: Any) -> Any:
        words = channel_ref.removeprefix(_PREFIX).split("-")
        for place in range(1, len(words)):
            try:
                return io_store.get_task_output("-".join(words[:place]), "-".join(words[place:]))
            except (KeyError, ValueError):
                continue
        return resolve(channel_ref, io_store)

    with patch.object(ConditionEvaluator, "_resolve_pipeline_channel", staticmethod(resolved)):
        yield
