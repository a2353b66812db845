"""Curves that estimate word errors without transcripts: fitted on validation clips, checked on test ones."""

# Shape letters: N readings, P parameters, S scales, C columns of the table.

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from mome.estimated_wer import WerEstimator, log_odds, together
from mome.evaluation.decode import Decoded
from mome.expectation import Noises
from mome.records import CheckedEstimate, Condition, ErrorCurve, Modality, NoiseKind, ScaleText
from mome.wer import word_errors

__all__ = ["Measured", "check_estimates", "estimate_all", "fit_curves"]

# By column and number of the clip: level and kind of the noise, of clips in which it could be measured.
Measured = Mapping[str, Mapping[int, tuple[float, NoiseKind]]]

_WINDOW = 100  # clips
# What a scale or a noise adds is drawn to zero, by as much as some forty words of evidence: a few clips
# that went wrong by chance are no rule.
_SHRINKAGE = 10.0

_Array = npt.NDArray[np.float64]


def fit_curves(
    decoded: Sequence[Decoded],
    references: Sequence[str],
    measured: Measured,
    conditions: Sequence[Condition],
) -> dict[Modality, ErrorCurve]:
    """Fit one curve for each modality that has texts.

    A logistic regression of the share of wrong words on the log odds of the doubt, with the scale and the
    noise beside it; the noise where the service will see it, between the columns of the table.

    Args:
        decoded: Of validation clips.
        references: Transcripts, by number of the clip.
        measured: Noise of the same clips.
        conditions: Of the table.
    """
    found: dict[Modality, ErrorCurve] = {}
    for modality in dict.fromkeys(each.modality for each in decoded):
        of_modality = [each for each in decoded if each.modality == modality]
        curve = _fit(_distinct(of_modality), references, measured, Noises(conditions))
        if curve is not None:
            found[modality] = curve
    return found


def estimate_all(estimator: WerEstimator, decoded: Decoded, measured: Measured) -> dict[int, float | None]:
    """Return the estimated word error rate of every clip of one condition, by its number."""
    noise = measured.get(decoded.level.key, {})
    return {
        index: None
        if doubted is None
        else estimator.of_doubt(doubted, decoded.modality, decoded.scale, *noise.get(index, (None, None)))
        for index, doubted in decoded.doubts.items()
    }


def check_estimates(
    estimator: WerEstimator, decoded: Sequence[Decoded], references: Sequence[str], measured: Measured
) -> dict[Modality, dict[ScaleText, dict[str, CheckedEstimate]]]:
    """Compare estimates with the true word error rate, condition by condition, in windows of 100 clips.

    Args:
        estimator: With the curves.
        decoded: Of test clips, which the curves have not seen.
        references: Transcripts, by number of the clip.
        measured: Noise of the same clips.
    """
    checked: dict[Modality, dict[ScaleText, dict[str, CheckedEstimate]]] = {}
    for each in decoded:
        found = _check(estimate_all(estimator, each, measured), each, references)
        if found is not None:
            checked.setdefault(each.modality, {}).setdefault(str(each.scale), {})[each.level.key] = found
    return checked


def _check(
    estimates: Mapping[int, float | None], decoded: Decoded, references: Sequence[str]
) -> CheckedEstimate | None:
    """Return None where nothing was written, and so nothing estimated."""
    if all(rate is None for rate in estimates.values()):
        return None
    clips = list(decoded.hypotheses)
    whole = range(0, len(clips) - _WINDOW + 1, _WINDOW)
    windows = [clips[start : start + _WINDOW] for start in whole] or [clips]
    differences = [
        (_together(estimates, window, decoded) or 0.0) - _true(window, decoded, references)
        for window in windows
    ]
    return CheckedEstimate(
        estimated=_together(estimates, clips, decoded) or 0.0,
        true=_true(clips, decoded, references),
        windows=len(windows),
        largest=max(map(abs, differences)),
        chance=_chance(estimates, clips, decoded, references, len(windows[0])),
    )


def _together(estimates: Mapping[int, float | None], clips: Sequence[int], decoded: Decoded) -> float | None:
    return together((estimates[index], len(decoded.hypotheses[index].split())) for index in clips)


def _true(clips: Sequence[int], decoded: Decoded, references: Sequence[str]) -> float:
    counts = [word_errors(references[index], decoded.hypotheses[index]) for index in clips]
    return sum(errors for errors, _ in counts) / sum(words for _, words in counts)


def _chance(
    estimates: Mapping[int, float | None],
    clips: Sequence[int],
    decoded: Decoded,
    references: Sequence[str],
    size: int,
) -> float:
    """Return the standard deviation of a window's true rate around the sum of its clips' estimates."""
    counts = [word_errors(references[index], decoded.hypotheses[index]) for index in clips]
    residuals = [
        errors - words * (estimates[index] or 0.0)
        for index, (errors, words) in zip(clips, counts, strict=True)
    ]
    words = sum(words for _, words in counts) / len(clips)
    return float(np.std(residuals)) / (words * size**0.5)


def _distinct(decoded: Sequence[Decoded]) -> list[Decoded]:
    """Leave out what was decoded once and is reported at several scales and levels: it is one observation."""
    seen: list[Decoded] = []
    for each in decoded:
        modality, scale = each.modality, each.scale
        alike = (
            other
            for other in seen
            if (modality == "audio" and other.scale.audio_rate == scale.audio_rate)
            or (modality == "video" and other.scale.video_rate == scale.video_rate)
        )
        if not any(modality == "video" or other.level == each.level for other in alike):
            seen.append(each)
    return seen


def _fit(
    decoded: Sequence[Decoded], references: Sequence[str], measured: Measured, noises: Noises
) -> ErrorCurve | None:
    scales = [str(each.scale) for each in decoded]
    names = list(dict.fromkeys(scales))
    columns = noises.columns
    doubts, rates, words, of_scale, of_noise = [], [], [], [], []
    for each, scale in zip(decoded, scales, strict=True):
        heard = measured.get(each.level.key, {}) if each.modality != "video" else {}
        for index, doubted in each.doubts.items():
            if doubted is None:
                continue
            errors, length = word_errors(references[index], each.hypotheses[index])
            place = noises.place(*heard[index]) if index in heard else {}
            doubts.append(doubted)
            rates.append(min(1.0, errors / length))  # a text can have more errors than words
            words.append(float(length))
            of_scale.append([float(scale == name) for name in names])
            of_noise.append([place.get(column, 0.0) for column in columns])
    if not doubts:
        return None
    inputs_NP = np.concatenate(
        [np.ones((len(doubts), 1)), log_odds(doubts)[:, None], np.array(of_scale), np.array(of_noise)], axis=1
    )
    shrinkage_P = np.array([0.0, 0.0, *[_SHRINKAGE] * (len(names) + len(columns))])
    fitted = _logistic(inputs_NP, np.array(rates), np.array(words), shrinkage_P)
    offset, slope, *added = fitted.tolist()
    noise = dict(zip(columns, added[len(names) :], strict=True))
    return ErrorCurve(
        offset=offset,
        slope=slope,
        scales=dict(zip(names, added, strict=False)),
        noise={column: value for column, value in noise.items() if value},
    )


def _logistic(inputs_NP: _Array, rates_N: _Array, words_N: _Array, shrinkage_P: _Array) -> _Array:
    """Return the parameters ``(P,)`` of a logistic regression; the second of them is not negative."""

    def loss(parameters_P: _Array) -> tuple[float, _Array]:
        odds_N = inputs_NP @ parameters_P
        fit = words_N @ (np.logaddexp(0.0, odds_N) - rates_N * odds_N)
        slopes_P = inputs_NP.T @ (words_N * (expit(odds_N) - rates_N))
        return float(fit + shrinkage_P @ parameters_P**2 / 2), slopes_P + shrinkage_P * parameters_P

    # Without a single error the best offset is endless; ten is one word of twenty thousand.
    bounds = [(-10.0, 10.0), (0.0, 10.0), *[(None, None)] * (len(shrinkage_P) - 2)]
    start = np.zeros(len(shrinkage_P))
    start[1] = 1.0
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B")
    return np.asarray(found.x, dtype=np.float64)
