"""Estimates follow the doubt of a text, as a formula written out by hand says, and never fall with it."""

import math

import pytest

from mome.estimated_wer import WerEstimator, doubt, together
from mome.reading import Text, Token
from mome.records import ErrorCurve, WerCalibration
from mome.scales import Scale
from tests.planted import condition, evaluation, table

SCALE = Scale(4, 2)
CURVE = ErrorCurve(
    offset=0.5, slope=1.5, scales={"a4v2": -0.25}, noise={"clean": -0.5, "babble_5": 0.25, "babble_-5": 1.0}
)
EVALUATION = evaluation(
    {"av": table({"a4v2": {"clean": 1, "babble_5": 3, "babble_-5": 20}})},
    conditions=[condition(None, 30, 22, 38), condition(5, 8, 5, 11), condition(-5, 1, -2, 4)],
    calibration=WerCalibration(curves={"av": CURVE}, clips=100, checked={}),
)


def written(*tokens: tuple[str, float]) -> Text:
    """Return a text of such pieces and probabilities."""
    return Text(
        "".join(piece for piece, _ in tokens),
        cut=False,
        tokens=tuple(Token(number, piece, math.log(sure)) for number, (piece, sure) in enumerate(tokens)),
    )


def test_the_doubt_of_a_text_is_that_of_its_words_and_a_word_is_all_of_its_tokens() -> None:
    text = written(("pla", 0.9), ("ce", 0.5), (" white", 0.8), ("", 0.5), (" at", 1.0))
    assert doubt(text.tokens) == pytest.approx(((1 - 0.45) + (1 - 0.4) + 0.0) / 3)
    assert doubt(()) is None


def test_a_rate_is_the_curve_at_the_place_of_the_measured_noise() -> None:
    found = WerEstimator(EVALUATION).estimate(written(("a", 0.8), (" b", 0.6)), "av", SCALE, 4.5, "babble")
    # Half way between babble at -5 dB and at 5 dB.
    odds = 0.5 + 1.5 * math.log(0.3 / 0.7) - 0.25 + (0.25 + 1.0) / 2
    assert found == pytest.approx(1 / (1 + math.exp(-odds)))


def test_what_nobody_can_say_is_none() -> None:
    estimator = WerEstimator(EVALUATION)
    text = written(("a", 0.8))
    assert estimator.estimate(text, "audio", SCALE, 4.5, "babble") is None, "no curve for it"
    assert estimator.estimate(Text("", cut=False), "av", SCALE, 4.5, "babble") is None, "no words"
    older = WerEstimator(EVALUATION.model_copy(update={"calibration": None}))
    assert older.estimate(text, "av", SCALE, 4.5, "babble") is None
    without_noise = estimator.estimate(text, "av", SCALE, None, None)
    assert without_noise == pytest.approx(1 / (1 + math.exp(-(0.25 + 1.5 * math.log(0.2 / 0.8)))))


def test_more_doubt_is_never_fewer_errors_and_certainty_is_finite() -> None:
    estimator = WerEstimator(EVALUATION)
    sure = [1.0, 0.999999, 0.9, 0.5, 0.1, 1e-30]
    rates = [estimator.estimate(written(("a", each)), "av", SCALE, 8.0, "babble") for each in sure]
    known = [rate for rate in rates if rate is not None]
    assert known == sorted(known)
    assert len(known) == len(sure)
    assert 0 < known[0] < known[-1] < 1


def test_several_texts_count_by_their_words() -> None:
    assert together([(0.1, 30), (0.4, 10), (None, 5), (0.9, 0)]) == pytest.approx((3 + 4) / 40)
    assert together([(None, 5), (0.2, 0)]) is None
