"""Word errors are compared with a plain recursive edit distance and with the binomial's own spread."""

import math
from functools import cache

import numpy as np
import pytest

from mome.errors import EvaluationError
from mome.wer import bootstrap, difference, summarise, word_errors


def plain_edit_distance(expected: tuple[str, ...], heard: tuple[str, ...]) -> int:
    @cache
    def edits(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        same = expected[i - 1] == heard[j - 1]
        return min(edits(i - 1, j - 1) + (not same), edits(i - 1, j) + 1, edits(i, j - 1) + 1)

    return edits(len(expected), len(heard))


def test_edits_are_those_of_the_recursive_definition() -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        expected = tuple(rng.choice(list("abc"), size=rng.integers(1, 7)))
        heard = tuple(rng.choice(list("abc"), size=rng.integers(0, 7)))
        assert word_errors(" ".join(expected), " ".join(heard)) == (
            plain_edit_distance(expected, heard),
            len(expected),
        )


@pytest.mark.parametrize(
    ("hypothesis", "errors"),
    [
        ("place blue at f two now", 0),
        ("Place  BLUE at f two now", 0),
        ("place red at f now", 2),
        ("", 6),
        ("a " * 9, 9),
    ],
)
def test_case_and_spacing_are_no_errors_and_everything_else_is(hypothesis: str, errors: int) -> None:
    assert word_errors("place blue at f two now", hypothesis) == (errors, 6)


def test_errors_are_summed_over_utterances_and_not_averaged() -> None:
    result = summarise([("a", "b"), ("a b c d e f g h i", "a b c d e f g h i")], samples=100, seed=0)
    assert (result.errors, result.words, result.rate) == (1, 10, 0.1)
    assert result.low <= result.rate <= result.high


def test_the_interval_is_as_wide_as_the_normal_approximation_says() -> None:
    rng = np.random.default_rng(5)
    errors = rng.binomial(6, 0.2, size=400)
    low, high = bootstrap(errors, [6] * 400, samples=4000, seed=1)
    half = 1.96 * errors.std() / 6 / math.sqrt(400)
    assert low == pytest.approx(errors.mean() / 6 - half, abs=0.002)
    assert high == pytest.approx(errors.mean() / 6 + half, abs=0.002)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    errors, words = [0, 1, 2, 0, 3, 1, 0], [6, 5, 7, 6, 4, 6, 8]
    assert bootstrap(errors, words, 500, seed=1) == bootstrap(errors, words, 500, seed=1)
    assert bootstrap(errors, words, 500, seed=1) != bootstrap(errors, words, 500, seed=2)


def test_a_paired_difference_is_sharper_than_two_intervals() -> None:
    rng = np.random.default_rng(7)
    hard = rng.random(200) < 0.3  # utterances that both systems fail on
    words = "a b c d e f g h i j"
    first = [(words, "" if fails else words) for fails in hard]
    second = [(words, "" if fails else "a b c d e f g h i x") for fails in hard]
    gap = difference(first, second, samples=1000, seed=0)
    assert gap.rate == pytest.approx(-0.1 * (~hard).mean())
    assert gap.low < gap.rate < gap.high < 0
    alone, other = summarise(first, 1000, 0), summarise(second, 1000, 0)
    assert gap.high - gap.low < (alone.high - alone.low) / 2
    assert alone.high > other.low  # the intervals of each overlap, though every utterance favours the first


@pytest.mark.parametrize(
    ("errors", "words", "message"),
    [
        ([], [], "reference set is empty"),
        ([1, math.nan], [6, 6], "error count of utterance 1 is not a number"),
        ([1, 1], [6, math.inf], "word count of utterance 1 is not a number"),
        ([1, 0], [6, 0], "reference of utterance 1 has no word"),
        ([1], [6, 6], "one error count and one word count per utterance"),
    ],
)
def test_what_has_no_word_error_rate_is_refused(
    errors: list[float], words: list[float], message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        bootstrap(errors, words, samples=10, seed=0)


def test_an_empty_set_of_pairs_is_refused() -> None:
    with pytest.raises(EvaluationError, match="empty"):
        summarise([], samples=10, seed=0)


def test_systems_are_compared_on_the_same_references_only() -> None:
    with pytest.raises(EvaluationError, match="same references"):
        difference([("a", "a")], [("b", "b")], samples=10, seed=0)
