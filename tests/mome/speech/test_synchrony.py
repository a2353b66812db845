"""Sound is found where it was moved to, on faces that the network was never taught; others' is told apart."""

from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mome.speech.media import Clip, read_recording
from mome.speech.synchrony import synchrony
from mome.synthesis.corpus import plan_corpus, render_all

GRID = Path("../shared/corpora/grid")
needs_grid = pytest.mark.skipif(not GRID.is_dir(), reason="needs grid in ../shared/corpora")


@cache
def drawn() -> list[Clip]:
    """Return clips of voices and looks of the test split."""
    return [each.clip for each in render_all(plan_corpus(0, 0, 6, seed=91), 1)]


@cache
def real(name: str) -> Clip:
    content = (GRID / name).read_bytes()
    return read_recording(content, content).clip


def moved(samples: np.ndarray, frames: float) -> np.ndarray:
    """Return sound that comes so many frames later."""
    silent = np.zeros(max(0, round(frames * 640)), np.float32)
    return np.concatenate([silent, samples[max(0, round(-frames * 640)) :]])


@pytest.mark.parametrize("late", [-5, -2, 0, 1, 5])
def test_moved_sound_of_a_drawn_face_is_found_within_a_frame(late: int) -> None:
    for clip in drawn():
        found = synchrony(clip.mouth, moved(clip.samples, late))
        assert found is not None
        assert abs(found.offset_frames - late) <= 1


def test_own_sound_is_surer_than_that_of_others() -> None:
    clips = drawn()
    own = [synchrony(clip.mouth, clip.samples).confidence for clip in clips]
    others = [synchrony(clip.mouth, other.samples).confidence for clip, other in pairwise(clips)]
    assert min(own) > 0.5
    assert np.median(others) < 0.5


@needs_grid
def test_a_talker_who_was_never_seen_is_no_exception() -> None:
    clip, other = real("s31/bgiq6p.mpg"), real("s31/lbwo3s.mpg")
    for late in (-3, 0, 4):
        found = synchrony(clip.mouth, moved(clip.samples, late))
        assert abs(found.offset_frames - late) <= 1
        assert found.confidence > synchrony(clip.mouth, other.samples).confidence


def test_nothing_is_said_where_nothing_moves_nothing_is_heard_or_all_is_over_at_once() -> None:
    clip = drawn()[0]
    assert synchrony(np.repeat(clip.mouth[:1], 50, axis=0), clip.samples) is None
    assert synchrony(clip.mouth, np.zeros_like(clip.samples)) is None
    assert synchrony(clip.mouth, clip.samples[:0]) is None
    assert synchrony(clip.mouth[:19], clip.samples) is None
    assert synchrony(clip.mouth[:20], clip.samples) is not None


def test_sound_may_end_before_the_picture() -> None:
    clip = drawn()[0]
    found = synchrony(clip.mouth, clip.samples[: len(clip.samples) // 2])
    assert found is not None
    assert 0 <= found.confidence <= 1
