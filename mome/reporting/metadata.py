"""What Kubeflow keeps beside an artifact, for comparing runs and for its lineage: flat, numbers and words."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mome.errors import EvaluationError

__all__ = ["checked"]


def checked(metadata: Mapping[str, float | str]) -> dict[str, float | str]:
    """Return metadata that Kubeflow can keep.

    Args:
        metadata: Figures and facts by their name.

    Raises:
        EvaluationError: If a figure is not a number. Kubeflow would fail on it with a message about
            serialisation, after the step.
    """
    figures = {name: value for name, value in metadata.items() if not isinstance(value, str)}
    odd = {name: value for name, value in figures.items() if not math.isfinite(value)}
    if odd:
        named = ", ".join(f"{name} is {value}" for name, value in sorted(odd.items()))
        raise EvaluationError(
            f"{named}; expected numbers: look for an empty split, a recording without speech or a "
            "training that diverged (lower train.learning_rate)"
        )
    return dict(metadata)
