"""The scale of one request from its own noise: what ``compression_scale=auto`` asks for.

The noise of a clip is measured before it is read, and placed in the word error table with what the window of
the monitor was surrounded by as the prior: one clip says little by itself. Then the rule is the monitor's.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

from mome.expectation import Noises, Surroundings
from mome.records import ESTIMATOR, ChosenBy, Evaluation, Modality, Promise
from mome.scale_choice import choose
from mome.scales import Scale
from serving.features import Features
from serving.scale_source import ServedScale

__all__ = ["AUTO", "OwnScale", "Wish"]

_log = logging.getLogger(__name__)
AUTO = "auto"


class Wish(NamedTuple):
    """At which scale somebody wants to be read.

    Args:
        scale: This one; where it is ``auto``, the published one, for what cannot be measured.
        chosen_by: Who chose it.
    """

    scale: Scale
    chosen_by: ChosenBy


class OwnScale:
    """Choose for one clip.

    Args:
        evaluation: The bundle's table.
        scales: That the model reads at, finest first.
        promise: Of the bundle, for as long as no monitor has decided; None in an old one.
    """

    def __init__(self, evaluation: Evaluation, scales: Sequence[Scale], promise: Promise | None) -> None:
        self._evaluation = evaluation
        self._scales = scales
        self._promise = promise
        self._noises = Noises(evaluation.conditions)
        problem = _problem(evaluation, scales)
        self._has_table = not problem
        if not problem and promise is None:
            problem = "the bundle promises nothing, and until a monitor does it has to do"
        if problem:
            _log.info("compression_scale=%s is the published scale: %s", AUTO, problem)

    def choose(self, served: ServedScale, modality: Modality, features: Features) -> Scale | None:
        """Return the scale for a clip, None if the published one has to do.

        That is where there is no speech, or only lips, where the estimator does not trust its measurement,
        and where nothing is promised.

        Args:
            served: In force, with what the monitor knew when it decided.
            modality: Of the clip.
            features: Measured on it.
        """
        decision = served.decision
        promise = self._promise if decision is None or decision.promise is None else decision.promise
        if promise is None or not self._has_table or modality not in promise.max_wer:
            return None
        if modality not in self._evaluation.wer or modality == "video":
            return None
        if features.snr_db is None or features.noise_kind is None:
            return None
        # Of quiet rooms the estimator seldom knows how quiet they are.
        if not (features.snr_confident or self._noises.is_clear(features.snr_db)):
            return None
        prior = {} if decision is None else decision.noise
        shares = self._noises.likely([features.snr_db], [features.noise_kind], prior)
        allowed = self._scales
        if decision is not None and decision.allowed:
            allowed = [scale for scale in self._scales if str(scale) in decision.allowed]
        if not allowed:
            return None
        spending = "cheapest" if decision is None else decision.spending
        around = Surroundings(modality, self._noises.columns, shares)
        return choose(self._evaluation, [around], allowed, promise, spending).scale


def _problem(evaluation: Evaluation, scales: Sequence[Scale]) -> str:
    """Return why the table says nothing of a measurement; empty if it does."""
    if not evaluation.conditions:
        return "the word error table has no conditions"
    if evaluation.estimator != ESTIMATOR:
        return f"its noise was measured by estimator {evaluation.estimator!r}, clips are by {ESTIMATOR!r}"
    columns = {condition.key for condition in evaluation.conditions}
    for modality, rows in evaluation.wer.items():
        for scale in scales:
            if missing := columns - rows.get(str(scale), {}).keys():
                return f"scale {scale} has no {modality} word errors at {', '.join(sorted(missing))}"
    return ""
