"""Mouth: found on real faces, passed through when it already is one, honest when there is none."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mome.speech.mouth import MOUTH_SIZE, find_mouth, sharpness
from mome.speech.video import Frames, read_video

GRID = Path("../shared/corpora/grid")


@pytest.fixture(scope="module")
def face() -> Frames:
    if not GRID.is_dir():
        pytest.skip("needs the GRID clips in ../shared/corpora")
    return read_video(GRID / "bbaf2n.mpg").frames


def test_mouth_video_passes_through() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (4, 96, 96), np.uint8)
    track = find_mouth(frames)
    assert track.frames is frames
    assert track.found_share == 1.0


def test_the_mouth_of_a_real_face_is_found(face: Frames) -> None:
    track = find_mouth(face)
    assert track.frames.shape == (len(face), MOUTH_SIZE, MOUTH_SIZE)
    assert track.found_share > 0.9
    # Lips, read off a frame by eye, lie at y 218, x 157: their 24 x 48 pixels are what the crop must show.
    lips = face[0, 206:230, 133:181]
    scores = [
        cv2.matchTemplate(track.frames[0], cv2.resize(lips, None, fx=zoom, fy=zoom), cv2.TM_CCOEFF_NORMED)
        for zoom in np.arange(0.8, 2.0, 0.05)
    ]
    best = max(scores, key=lambda score: score.max())
    assert best.max() > 0.9


def test_the_mouth_of_a_speaker_moves(face: Frames) -> None:
    still = find_mouth(np.repeat(face[:1], 20, axis=0)).frames.astype(int)
    moving = find_mouth(face[20:40]).frames.astype(int)
    assert np.abs(np.diff(moving, axis=0)).mean() > 2 * np.abs(np.diff(still, axis=0)).mean() + 0.5


def test_frames_without_a_face_are_bridged(face: Frames) -> None:
    covered = face.copy()
    covered[30:45] = 128
    whole, gap = find_mouth(face), find_mouth(covered)
    assert gap.found_share == pytest.approx(0.8, abs=0.03)
    before_and_after = np.abs(whole.frames[:15].astype(int) - gap.frames[:15]).mean()
    assert before_and_after < 3


def test_no_face_gives_the_middle_and_a_share_of_zero() -> None:
    frames = np.full((3, 120, 200), 90, np.uint8)
    frames[:, :, :40] = 250  # left of the central square
    track = find_mouth(frames)
    assert track.found_share == 0.0
    assert track.frames.shape == (3, 96, 96)
    assert track.frames.max() == 90


def test_blur_lowers_sharpness() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (5, 96, 96), np.uint8)
    blurred = np.stack([cv2.GaussianBlur(frame, (9, 9), 2) for frame in frames])
    assert sharpness(blurred) < 0.1 * sharpness(frames)
