"""Curves find what was planted, and what is said of the check can be counted by a plain loop."""

import numpy as np
import pytest

from mome.estimated_wer import WerEstimator
from mome.evaluation.calibration import check_estimates, fit_curves
from mome.evaluation.decode import Decoded, Level
from mome.records import Modality, NoiseKind, WerCalibration
from mome.scales import Scale
from tests.planted import condition, evaluation, table

CONDITIONS = [condition(None, 30, 22, 38), condition(0, 2, 0, 4)]
LEVELS = (Level(None, None), Level("babble", 0.0))
SCALES = (Scale(4, 2), Scale(16, 5))
WORDS = 10
TABLE = evaluation(
    {"av": table({str(scale): {"clean": 2, "babble_0": 9} for scale in SCALES})}, conditions=CONDITIONS
)


def planted(
    seed: int, clips: int, modality: Modality = "av"
) -> tuple[list[Decoded], list[str], dict[str, dict[int, tuple[float, NoiseKind]]]]:
    """Return texts whose words are wrong as often as a curve says: coarse and noisy adds to the doubt."""
    rng = np.random.default_rng(seed)
    decoded: list[Decoded] = []
    measured: dict[str, dict[int, tuple[float, NoiseKind]]] = {}
    for scale in SCALES:
        for level in LEVELS:
            doubts = rng.beta(0.6, 4.0, clips).clip(1e-3, 0.999)
            odds = -0.4 + 1.2 * np.log(doubts / (1 - doubts)) + 0.6 * (scale == SCALES[1])
            odds += 0.9 * (level.noise is not None)
            wrong = rng.random((clips, WORDS)) < 1 / (1 + np.exp(-odds[:, None]))
            texts = {n: " ".join("x" if bad else "w" for bad in row) for n, row in enumerate(wrong)}
            decoded.append(Decoded(modality, scale, level, texts, dict(enumerate(doubts.tolist()))))
            measured[level.key] = dict.fromkeys(range(clips), (2.0 if level.noise else 30.0, "babble"))
    return decoded, [" ".join("w" * WORDS)] * clips, measured


def test_fitted_curves_are_right_about_texts_that_they_have_not_seen() -> None:
    curves = fit_curves(*planted(0, 200), CONDITIONS)
    curve = curves["av"]
    assert curve.slope == pytest.approx(1.2, abs=0.15)
    assert curve.scales["a16v5"] - curve.scales["a4v2"] == pytest.approx(0.6, abs=0.2)
    assert curve.noise["babble_0"] - curve.noise["clean"] == pytest.approx(0.9, abs=0.2)
    calibration = WerCalibration(curves=curves, clips=200, checked={})
    estimator = WerEstimator(TABLE.model_copy(update={"calibration": calibration}))
    checked = check_estimates(estimator, *planted(1, 400))["av"]
    for row in checked.values():
        for cell in row.values():
            assert cell.windows == 4
            assert cell.estimated == pytest.approx(cell.true, abs=3 * cell.chance)
            assert cell.largest < 4 * cell.chance
            # A window has 1,000 words, each wrong or not.
            assert cell.chance <= (cell.true * (1 - cell.true) / 1000) ** 0.5 * 1.1


def test_the_check_counts_as_a_plain_loop_does() -> None:
    decoded, references, measured = planted(2, 150)
    calibration = WerCalibration(
        curves=fit_curves(decoded, references, measured, CONDITIONS), clips=1, checked={}
    )
    estimator = WerEstimator(TABLE.model_copy(update={"calibration": calibration}))
    cell = check_estimates(estimator, decoded, references, measured)["av"]["a16v5"]["babble_0"]
    each = next(one for one in decoded if str(one.scale) == "a16v5" and one.level.noise)
    rates = [estimator.of_doubt(each.doubts[n], "av", each.scale, 2.0, "babble") or 0.0 for n in range(150)]
    wrong = [each.hypotheses[n].count("x") for n in range(150)]
    assert cell.windows == 1
    assert cell.estimated == pytest.approx(np.mean(rates))
    assert cell.true == pytest.approx(sum(wrong) / 1500)
    assert cell.largest == pytest.approx(abs(np.mean(rates[:100]) - sum(wrong[:100]) / 1000))


def test_a_text_of_sound_that_several_scales_share_counts_once_and_nothing_written_gives_no_curve() -> None:
    decoded, references, measured = planted(3, 60, "audio")
    twice = [
        *decoded,
        *(
            Decoded("audio", Scale(each.scale.audio_rate, 9), each.level, each.hypotheses, each.doubts)
            for each in decoded
        ),
    ]
    assert fit_curves(twice, references, measured, CONDITIONS) == fit_curves(
        decoded, references, measured, CONDITIONS
    )
    empty = Decoded("av", SCALES[0], LEVELS[0], {0: ""}, {0: None})
    assert fit_curves([empty], ["w"], {}, CONDITIONS) == {}


def test_a_model_without_a_single_error_gets_a_small_rate_and_not_none() -> None:
    perfect = Decoded(
        "av", SCALES[0], LEVELS[0], dict.fromkeys(range(50), "w w"), dict.fromkeys(range(50), 0.01)
    )
    curves = fit_curves([perfect], ["w w"] * 50, {}, CONDITIONS)
    calibration = WerCalibration(curves=curves, clips=50, checked={})
    estimator = WerEstimator(TABLE.model_copy(update={"calibration": calibration}))
    assert 0 < (estimator.of_doubt(0.01, "av", SCALES[0], None, None) or 0) < 1e-3
