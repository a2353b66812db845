"""The best path against all paths there are."""

import itertools

import numpy as np
import pytest

from mome.alignment.path import SILENCE, best_paths, states


def allowed(path: tuple[int, ...], classes: np.ndarray) -> bool:
    """Tell whether a path goes through all states in order, and leaves out none but silence."""
    visited = [state for state, _ in itertools.groupby(path)]
    missing = set(range(len(classes))) - set(visited)
    return visited == sorted(set(visited)) and all(classes[state] == SILENCE for state in missing)


def every_path(frames: int, classes: np.ndarray) -> list[tuple[int, ...]]:
    return [path for path in itertools.product(range(len(classes)), repeat=frames) if allowed(path, classes)]


@pytest.mark.parametrize("words", [[[1]], [[1, 2]], [[1], [2]], [[3, 3]], [[1], [2], [1]]])
@pytest.mark.parametrize("frames", [3, 5])
def test_no_path_is_better(words: list[list[int]], frames: int) -> None:
    text = states(words)
    for seed in range(5):
        scores = np.random.default_rng(seed).normal(size=(frames, len(text.classes))).astype(np.float32)
        everything = [
            (sum(scores[frame, state] for frame, state in enumerate(path)), path)
            for path in every_path(frames, text.classes)
        ]
        (path,) = best_paths([scores], [text.classes])
        assert tuple(path) == max(everything)[1]


def test_texts_of_any_lengths_have_the_paths_of_each_alone() -> None:
    rng = np.random.default_rng(0)
    texts = [states(words).classes for words in ([[1, 2], [3]], [[1]], [[2], [2], [1, 1, 3]])]
    scores = [
        rng.normal(size=(frames, len(text))).astype(np.float32)
        for frames, text in zip((9, 1, 12), texts, strict=True)
    ]
    together = best_paths(scores, texts)
    for each, text, path in zip(scores, texts, together, strict=True):
        assert (best_paths([each], [text])[0] == path).all()


def test_frames_that_cannot_hold_a_text_are_refused() -> None:
    text = states([[1, 2], [3]])
    with pytest.raises(ValueError, match="2 frames cannot hold 3 characters"):
        best_paths([np.zeros((2, len(text.classes)), np.float32)], [text.classes])
