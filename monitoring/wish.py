"""Whether the monitor's wish for a new training is still open, however often one looks.

state/
├── retrain.json         the wish
└── retrain.taken.json   the last one that became the parameters of a training
"""

from __future__ import annotations

from pathlib import Path

from mome.errors import MomeError
from mome.records import RetrainRequest

__all__ = ["is_open", "take_over"]

_WISH, _TAKEN = "retrain.json", "retrain.taken.json"


def is_open(state: Path) -> bool:
    """Tell whether a wish lies there that nobody has taken over.

    Not only the look that wrote it says yes: that one may fail afterwards, and what is tried again then
    is another look, which finds the wish there already.

    Raises:
        MomeError: If the wish cannot be read.
    """
    if not (state / _WISH).exists():
        return False
    request = RetrainRequest.read(state / _WISH)
    try:
        return RetrainRequest.read(state / _TAKEN) != request
    except MomeError:  # none was yet, or nobody knows which
        return True


def take_over(state: Path, request: RetrainRequest) -> None:
    """Remember that a wish has become the parameters of a training; the same is not open any more."""
    request.write(state / _TAKEN)
