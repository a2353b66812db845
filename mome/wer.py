"""Word error rate: edits over reference words, with a bootstrap interval over utterances.

An utterance, not a word, is what is drawn again in the bootstrap: words of one sentence are misheard
together, and an interval that takes them for independent is too narrow.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mome.errors import EvaluationError
from mome.records import WordErrors

__all__ = ["Difference", "bootstrap", "difference", "summarise", "word_errors"]

_INTERVAL = (2.5, 97.5)  # percentiles: 95 %


class Difference(NamedTuple):
    """Word error rate of one system minus that of another on the same utterances, with its 95 % interval."""

    rate: float
    low: float
    high: float


def word_errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """Count the fewest substitutions, deletions and insertions that turn the reference into the hypothesis.

    Words are what whitespace separates, compared in lower case.

    Returns:
        Edits, and the number of words of the reference.
    """
    expected, heard = reference.lower().split(), hypothesis.lower().split()
    # One row of the Levenshtein table at a time: edits from expected[:i] to every heard[:j].
    row = list(range(len(heard) + 1))
    for i, word in enumerate(expected, start=1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, start=1):
            substituted = diagonal + (word != other)
            diagonal = row[j]
            row[j] = min(substituted, row[j] + 1, row[j - 1] + 1)
    return row[-1], len(expected)


def bootstrap(errors: npt.ArrayLike, words: npt.ArrayLike, samples: int, seed: int) -> tuple[float, float]:
    """Return the 95 % percentile interval of the word error rate over drawn-again sets of utterances.

    Without a single error every drawn set is without one too, and the interval is (0, 0): it then
    says nothing about how many errors another test set would have had.

    Args:
        errors: Edits per utterance, shape ``(N,)``.
        words: Reference words per utterance, shape ``(N,)``.
        samples: Number of drawn sets, each of ``N`` utterances.
        seed: Of the draw; the same seed gives the same interval.

    Raises:
        EvaluationError: If there is no utterance, one has no reference word, or a number is not finite.
    """
    edits, lengths = _checked(errors, words)
    drawn = _draws(len(lengths), samples, seed)
    return _interval(edits[drawn].sum(axis=1) / lengths[drawn].sum(axis=1))


def difference(
    first: Iterable[tuple[str, str]], second: Iterable[tuple[str, str]], samples: int, seed: int
) -> Difference:
    """Compare two systems on the same utterances; negative means that the first has fewer errors.

    The same utterances are drawn for both, so that what is hard for both does not widen the interval.

    Args:
        first: ``(reference, hypothesis)`` per utterance.
        second: The same references, in the same order, with the other system's hypotheses.
        samples: Number of drawn sets.
        seed: Of the draw.

    Raises:
        EvaluationError: As `bootstrap`, or if the references differ.
    """
    pairs, others = list(first), list(second)
    if [reference for reference, _ in pairs] != [reference for reference, _ in others]:
        raise EvaluationError("two systems can be compared on the same references in the same order only")
    edits, lengths = _checked(*_count(pairs))
    other_edits, _ = _checked(*_count(others))
    drawn = _draws(len(lengths), samples, seed)
    gaps = edits - other_edits
    low, high = _interval(gaps[drawn].sum(axis=1) / lengths[drawn].sum(axis=1))
    return Difference(float(gaps.sum() / lengths.sum()), low, high)


def summarise(pairs: Iterable[tuple[str, str]], samples: int, seed: int) -> WordErrors:
    """Sum the errors of ``(reference, hypothesis)`` pairs, one per utterance, and add the interval.

    Raises:
        EvaluationError: As `bootstrap`.
    """
    errors, words = _count(pairs)
    low, high = bootstrap(errors, words, samples, seed)
    return WordErrors(errors=sum(errors), words=sum(words), low=low, high=high)


def _count(pairs: Iterable[tuple[str, str]]) -> tuple[list[int], list[int]]:
    counts = [word_errors(reference, hypothesis) for reference, hypothesis in pairs]
    return [errors for errors, _ in counts], [words for _, words in counts]


def _checked(
    errors: npt.ArrayLike, words: npt.ArrayLike
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    edits, lengths = np.asarray(errors, dtype=np.float64), np.asarray(words, dtype=np.float64)
    if edits.shape != lengths.shape or edits.ndim != 1:
        raise EvaluationError(
            "expected one error count and one word count per utterance,"
            f" got shapes {edits.shape} and {lengths.shape}"
        )
    if not len(lengths):
        raise EvaluationError("the reference set is empty: a word error rate needs at least one utterance")
    for name, values in (("error", edits), ("word", lengths)):
        if not np.isfinite(values).all():
            raise EvaluationError(
                f"the {name} count of utterance {np.argmin(np.isfinite(values))} is not a number"
            )
    if (lengths < 1).any():
        raise EvaluationError(f"the reference of utterance {np.argmax(lengths < 1)} has no word")
    return edits, lengths


def _draws(utterances: int, samples: int, seed: int) -> npt.NDArray[np.int64]:
    """Return utterance numbers drawn with replacement, ``(samples, utterances)``."""
    return np.random.default_rng(seed).integers(utterances, size=(samples, utterances))


def _interval(rates: npt.NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(rates, _INTERVAL)
    return float(low), float(high)
