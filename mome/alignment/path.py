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

    best_BN = np.full((len(scores), most), _NEVER, np.float32)
    best_BN[:, :2] = scores_TBN[0, :, :2]
    back_TBN = np.zeros((longest, len(scores), most), np.int8)  # by how many states each came
    last = [best_BN] * len(scores)  # of each text, after its own last frame
    padding_B2 = np.full((len(scores), 2), _NEVER, np.float32)
    for frame in range(longest):
        if frame:
            came_BN = np.concatenate([padding_B2, best_BN], axis=1)
            step_BN, leaps_BN = came_BN[:, 1:-1], came_BN[:, :-2] + leap_BN
            back_BN = (step_BN > best_BN).astype(np.int8)
            best_BN = np.maximum(best_BN, step_BN)
            back_BN[leaps_BN > best_BN] = 2
            best_BN = np.maximum(best_BN, leaps_BN) + scores_TBN[frame]
            back_TBN[frame] = back_BN
        for row in np.flatnonzero(frames == frame + 1).tolist():
            last[row] = best_BN
    return [
        _trace(back_TBN[: frames[row], row], last[row][row], len(text)) for row, text in enumerate(classes)
    ]


def _trace(back_TN: NDArray[np.int8], last_N: Frames, count: int) -> Classes:
    state = (
        count - 1 if last_N[count - 1] >= last_N[count - 2] else count - 2
    )  # the last silence or character
    path_T = np.empty(len(back_TN), np.int64)
    for frame in range(len(back_TN) - 1, -1, -1):
        path_T[frame] = state
        state -= int(back_TN[frame, state])
    return path_T
