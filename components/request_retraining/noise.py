"""The noise that was observed in production becomes noise of the next training."""

from __future__ import annotations

import math

from mome.config import TrainParams
from mome.records import RetrainRequest

__all__ = ["learn_noise"]

STEP_DB = 5.0  # the grid on which training draws its noise levels


def learn_noise(params: TrainParams, request: RetrainRequest) -> TrainParams:
    """Return the parameters with noise levels that reach over the observed range.

    Levels lie on a grid of 5 dB, so that requests which differ by little lead to the same training;
    all that is there already stays, clean speech as often as before.

    Args:
        params: Section ``train`` of the last run.
        request: Observed noise, from the lowest to the highest SNR in dB.
    """
    first = math.floor(request.snr_low_db / STEP_DB)
    last = math.ceil(request.snr_high_db / STEP_DB)
    observed = {step * STEP_DB for step in range(first, last + 1)}
    clean = [level for level in params.noise_snrs_db if level is None]
    known = [level for level in params.noise_snrs_db if level is not None]
    levels = clean + sorted([*known, *(observed - set(known))], reverse=True)
    return params.model_copy(update={"noise_snrs_db": levels})
