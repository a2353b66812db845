"""What is kept beside an artifact is words and numbers, or the step fails with a message of its own."""

import math

import pytest

from mome.errors import EvaluationError
from mome.reporting.metadata import checked


def test_figures_and_words_are_kept_as_they_are() -> None:
    found = {"wer_a4v2_clean": 0.04, "requests": 3.0, "revision": "8bdaeca", "corpus": "nan"}
    assert checked(found) == found


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_named(value: float) -> None:
    with pytest.raises(EvaluationError, match=f"wer_a4v2_0 is {value}; expected numbers: look for"):
        checked({"wer_a4v2_clean": 0.04, "wer_a4v2_0": value})
