"""How many words of a text are wrong, told from how sure the decoder was of them: no transcript is needed.

The doubt of a text is the mean over its words of one minus the word's probability. How it turns into a word
error rate is a logistic curve for each modality, which evaluation fits on validation clips
(`mome.evaluation.calibration`): monotone in the doubt, and moved by the scale and by the noise as it is
measured. So it can be asked of any request.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.special import expit

from mome.expectation import Noises
from mome.reading import Text, Token
from mome.records import Evaluation, Modality, NoiseKind
from mome.scales import Scale

__all__ = ["WerEstimator", "doubt", "log_odds", "together"]

_SUREST = 1e-4  # nearer to 0 or 1, float32 says more of rounding than of the text


def doubt(tokens: Sequence[Token]) -> float | None:
    """Return the mean over the words of ``1 - probability``, 0 to 1; None of a text without words.

    A word's probability is that of all its tokens: one wrong token makes a wrong word.
    """
    words: list[float] = []
    for token in tokens:
        if not words or token.text[:1].isspace():
            words.append(0.0)
        words[-1] += token.logprob
    if not words:
        return None
    return sum(1.0 - math.exp(min(0.0, logprob)) for logprob in words) / len(words)


def log_odds(doubts: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the log odds of doubts ``(N,)``, finite for 0 and 1, too."""
    inside = np.clip(np.asarray(doubts, float), _SUREST, 1.0 - _SUREST)
    return np.log(inside / (1.0 - inside))


def together(parts: Iterable[tuple[float | None, int]]) -> float | None:
    """Return the rate of several texts from ``(rate, words)`` of each; None if none has one."""
    known = [(rate, words) for rate, words in parts if rate is not None and words]
    total = sum(words for _, words in known)
    return sum(rate * words for rate, words in known) / total if total else None


class WerEstimator:
    """Estimates with the curves of one evaluation.

    Args:
        evaluation: Without curves every estimate is None.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self._noises = Noises(evaluation.conditions)
        self._curves = {} if evaluation.calibration is None else evaluation.calibration.curves

    def estimate(
        self, text: Text, modality: Modality, scale: Scale, snr_db: float | None, kind: NoiseKind | None
    ) -> float | None:
        """Return the estimated word error rate of one reading, 0 to 1; None without words or a curve.

        Args:
            text: With its tokens.
            modality: That was read.
            scale: At which.
            snr_db: Estimated level of the noise; None where none was measured.
            kind: What the estimator calls it.
        """
        found = doubt(text.tokens)
        return None if found is None else self.of_doubt(found, modality, scale, snr_db, kind)

    def of_doubt(
        self, doubted: float, modality: Modality, scale: Scale, snr_db: float | None, kind: NoiseKind | None
    ) -> float | None:
        """Return the same of a text by its doubt."""
        curve = self._curves.get(modality)
        if curve is None:
            return None
        place = {} if snr_db is None or kind is None else self._noises.place(snr_db, kind)
        odds = curve.offset + curve.slope * float(log_odds([doubted])[0]) + curve.scales.get(str(scale), 0.0)
        odds += sum(share * curve.noise.get(column, 0.0) for column, share in place.items())
        return float(expit(odds))
