"""What becomes of the monitor's wish for a new training: the parameters of that training, and a page."""

from __future__ import annotations

from pathlib import Path

from components.request_retraining.card import describe, describe_none
from components.request_retraining.noise import learn_noise
from mome.config import TrainParams
from mome.records import RetrainRequest
from monitoring.wish import take_over

__all__ = ["answer"]


def answer(asked: bool, state: Path, before: TrainParams, html: Path, markdown: Path) -> TrainParams:
    """Return section ``train`` of the next training, which is that of the last one if nothing is asked for.

    Args:
        asked: Whether there is a wish.
        state: Folder with the wish, ``retrain.json``, which is taken over.
        before: Section ``train`` of the last training.
        html: Page to write.
        markdown: Card to write.

    Raises:
        MomeError: If the wish is not there or cannot be read.
    """
    if not asked:
        describe_none(html, markdown)
        return before
    request = RetrainRequest.read(state / "retrain.json")
    after = learn_noise(before, request)
    describe(request, before, after, html, markdown)
    take_over(state, request)
    return after
