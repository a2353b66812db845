"""The noise that was observed in production becomes noise of the next training."""

from __future__ import annotations

import math

from mome.config import CORPUS, MADE, TrainParams, noise_sources
from mome.records import RetrainRequest

__all__ = ["LEARNED", "learn_noise"]

LEARNED = ("noise", "noise_snrs_db")  # of section train
STEP_DB = 5.0  # the grid on which training draws its noise levels
_NEAREST = {"babble": CORPUS, "bursts": "bursts", "steady": "steady"}


def learn_noise(params: TrainParams, request: RetrainRequest) -> TrainParams:
    """Return the parameters with the observed noise beside those of before, at levels that reach over it.

    It is heard from the recordings that the request names, else as noise of the nearest kind is made. Each
    clip is heard in one of all noises. Levels lie on a grid of 5 dB, so that requests which differ by little
    lead to the same training; all that is there already stays, clean speech as often as before.

    Args:
        params: Section ``train`` of the last run.
        request: Observed noise, from the lowest to the highest SNR in dB. A kind that no estimator of ours
            names adds no noise, only levels.
    """
    first = math.floor(request.snr_low_db / STEP_DB)
    last = math.ceil(request.snr_high_db / STEP_DB)
    observed = {step * STEP_DB for step in range(first, last + 1)}
    clean = [level for level in params.noise_snrs_db if level is None]
    known = [level for level in params.noise_snrs_db if level is not None]
    levels = clean + sorted([*known, *(observed - set(known))], reverse=True)
    before = noise_sources(params.noise)
    heard = request.recordings or _NEAREST.get(request.noise)
    if heard is None or (heard == CORPUS and set(before) - set(MADE)):
        heard = before[
            0
        ]  # recordings of a profile are babble: its own has been heard in place of the corpus'
    sources = dict.fromkeys([*before, heard])  # a dictionary, for it keeps their order
    return params.model_copy(update={"noise": " + ".join(sources), "noise_snrs_db": levels})
