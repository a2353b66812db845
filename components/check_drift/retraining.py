"""Whether a look of the monitor asked for a new training."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from mome.records import RetrainRequest, ScaleDecision

__all__ = ["asks_for_retraining"]


def asks_for_retraining(state: Path, decision: ScaleDecision) -> bool:
    """Tell whether the request in ``state`` was written by this very look.

    The monitor leaves the request where it is, so that the same noise is not asked about at every
    look; an older one has been acted on already.
    """
    path = state / "retrain.json"
    return path.exists() and _milliseconds(RetrainRequest.read(path).at) == _milliseconds(decision.at)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)  # records keep no more
