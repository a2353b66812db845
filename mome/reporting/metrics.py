"""The figures of a step, as a run comparison takes them: flat, and numbers throughout."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from mome.errors import EvaluationError
from mome.storage import write_text

__all__ = ["write_metrics"]


def write_metrics(path: Path, figures: Mapping[str, float]) -> dict[str, float]:
    """Write figures as JSON and return them.

    The file beside Kubeflow's own record is what kfp.local asks for: it takes an output without a file
    for lost, and would not reuse the step.

    Args:
        path: Of the file.
        figures: Name and value.

    Raises:
        EvaluationError: If a figure is not a number. Kubeflow would fail on it with a message about
            serialisation, after the step.
    """
    odd = {name: value for name, value in figures.items() if not math.isfinite(value)}
    if odd:
        named = ", ".join(f"{name} is {value}" for name, value in sorted(odd.items()))
        raise EvaluationError(
            f"{named}; expected numbers: look for an empty split, a recording without speech or a "
            "training that diverged (lower train.learning_rate)"
        )
    write_text(path, json.dumps(dict(figures)))
    return dict(figures)
