"""The best path of frames through the characters of a text, with silence around words where it fits."""

# Shape letters: B texts, T frames, N states.

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["SILENCE", "Classes", "States", "best_paths", "states"]

SILENCE = 0  # its class, before those of the characters

Frames = NDArray[np.float32]
Classes = NDArray[np.int64]

_NEVER = np.float32(-1e30)


class States(NamedTuple):
    """What a text is made of, in order: silence, the characters of a word, silence, ... silence.

    Args:
        classes: Class of each state ``(N,)``.
        words: Number of the word of each state ``(N,)``; -1 is silence.
    """

    classes: Classes
    words: Classes


def states(words: Sequence[Sequence[int]]) -> States:
    """Return the states of words, each the classes of its characters."""
    classes, numbers = [SILENCE], [-1]
    for number, word in enumerate(words):
        classes += [*word, SILENCE]
        numbers += [number] * len(word) + [-1]
    return States(np.array(classes), np.array(numbers))


def best_paths(scores: Sequence[Frames], classes: Sequence[Classes]) -> list[Classes]:
    """Return the state of each frame, so that the sum of its scores is greatest (Viterbi).

    A path goes through all states in order and stays in each for a frame or more; only silence may be
    left out.

    Args:
        scores: Per text the score of every state in every frame ``(T, N)``.
        classes: Per text the class of each state ``(N,)``; it begins and ends with silence.

    Raises:
        ValueError: If a text has fewer frames than characters.
    """
    for each, text in zip(scores, classes, strict=True):
        if len(each) < (needed := int((text != SILENCE).sum())):
            raise ValueError(f"{len(each)} frames cannot hold {needed} characters")
    frames = np.array([len(each) for each in scores])
    longest, most = int(frames.max()), max(map(len, classes))
    scores_TBN = np.full((longest, len(scores), most), _NEVER, np.float32)
    leap_BN = np.full((len(scores), most), _NEVER, np.float32)  # over a silence
    for row, (each, text) in enumerate(zip(scores, classes, strict=True)):
        scores_TBN[: len(each), row, : len(text)] = each
        leap_BN[row, 2 : len(text)][text[1:-1] == SILENCE] = 0

    # The best sum of each state in each frame, behind two states in which no path is.
    best_TBN = np.full((longest, len(scores), 2 + most), _NEVER, np.float32)
    best_TBN[0, :, 2:4] = scores_TBN[0, :, :2]
    leaps_BN = np.empty_like(leap_BN)
    for before_BN, after_BN, scores_BN in zip(best_TBN, best_TBN[1:, :, 2:], scores_TBN[1:], strict=False):
        np.maximum(before_BN[:, 2:], before_BN[:, 1:-1], out=after_BN)
        np.add(before_BN[:, :-2], leap_BN, out=leaps_BN)
        np.maximum(after_BN, leaps_BN, out=after_BN)
        after_BN += scores_BN
    return [_trace(best_TBN[: frames[row], row], leap_BN[row], len(text)) for row, text in enumerate(classes)]


def _trace(best_TN: Frames, leap_N: Frames, count: int) -> Classes:
    """Return the states of the best path, from its end, which is the last silence or the character before."""
    state = count - 1 if best_TN[-1, count + 1] >= best_TN[-1, count] else count - 2
    path_T = np.empty(len(best_TN), np.int64)
    path_T[-1] = state
    for frame in range(len(best_TN) - 2, -1, -1):
        leap, step, stay = best_TN[frame, state : state + 3].tolist()
        leap += float(leap_N[state])
        if leap > max(step, stay):
            state -= 2
        elif step > stay:
            state -= 1
        path_T[frame] = state
    return path_T
