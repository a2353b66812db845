"""A text gets its words on the way to whoever waits for it."""

import math

import numpy as np
import pytest
import torch

from mome.alignment import Aligner
from mome.alignment.head import Head
from mome.inference.timing import Timed, word_probabilities
from mome.model.avsr import Features
from mome.reading import Standing, Text, Token
from tests.hearers import Hearer


def token(text: str, probability: float) -> Token:
    return Token(0, text, math.log(probability))


def test_the_probability_of_a_word_is_the_mean_of_its_tokens() -> None:
    tokens = [token("bi", 0.5), token("n bl", 0.1), token("ue", 0.9), token("", 0.4), token(" a", 0.3)]
    assert word_probabilities(tokens) == pytest.approx([0.3, 0.5, 0.3])
    assert word_probabilities([]) == []


def test_words_go_to_the_listener_with_the_text() -> None:
    aligner = Aligner("ab", Head(np.eye(3, dtype=np.float32), np.zeros(3, np.float32)), None)
    features = Features(torch.eye(3)[[0, 1, 1, 0, 2]], None)
    hearer = Hearer()
    timed = Timed(hearer, aligner, features)

    timed.wrote(Standing("a", (token("a", 0.5),)))
    timed.ended(Text("a b", False, (token("a", 0.5), token(" b", 0.25)), -0.1))

    assert hearer.heard == [("a", (token("a", 0.5),))]
    (text,) = hearer.texts
    assert [word.text for word in text.words] == ["a", "b"]
    assert [word[1:] for word in text.words] == [
        pytest.approx((0.02, 0.06, 0.5)),
        pytest.approx((0.08, 0.1, 0.25)),
    ]
    assert (text.text, text.cut, text.end_logprob) == ("a b", False, -0.1)
