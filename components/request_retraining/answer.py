"""What becomes of the monitor's wish for a new training: the parameters of that training, and a page."""

from __future__ import annotations

from pathlib import Path

from components.request_retraining.noise import learn_noise
from components.request_retraining.report import describe, describe_none
from mome.config import TrainParams
from mome.records import RetrainRequest
from monitoring.wish import take_over

__all__ = ["answer"]


def answer(asked: bool, state: Path, before: TrainParams, page: Path) -> TrainParams:
    """Return section ``train`` of the next training, which is that of the last one if nothing is asked for.

    Args:
        asked: Whether there is a wish.
        state: Folder with the wish, ``retrain.json``, which is taken over.
        before: Section ``train`` of the last training.
        page: HTML file to write.

    Raises:
        MomeError: If the wish is not there or cannot be read.
    """
    if not asked:
        describe_none(page)
        return before
    request = RetrainRequest.read(state / "retrain.json")
    after = learn_noise(before, request)
    describe(request, before, after, page)
    take_over(state, request)
    return after
