"""Mouth: found on real faces, passed through when it already is one, honest when there is none."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from mome.speech.audio import SAMPLING_RATE, read_audio, resample
from mome.speech.faces.models import FaceModels
from mome.speech.mouth import MOUTH_SIZE, _cut, _similarities, find_mouth, sharpness
from mome.speech.video import Frames, read_video

GRID, SHARED = Path("../shared/corpora/grid"), Path("../shared/models/face")
MODELS = FaceModels(SHARED / "face_detection_short_range.tflite", SHARED / "face_landmark.tflite")
needs_models = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the models of ../shared/models/face")


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


def test_a_shape_is_laid_on_the_mean_face_as_opencv_lays_it() -> None:
    rng = np.random.default_rng(3)
    mean = rng.normal(size=(6, 2)) * 20
    mean -= mean.mean(axis=0)
    angle, zoom = 2.5, 0.7
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shapes = np.stack([mean @ turn.T + rng.normal(size=mean.shape) * noise for noise in (0.0, 0.3)])
    shapes -= shapes.mean(axis=1, keepdims=True)
    found = _similarities(shapes, mean)
    assert found[0] == pytest.approx(np.linalg.inv(turn), abs=1e-9)
    expected, _ = cv2.estimateAffinePartial2D(shapes[1], mean, ransacReprojThreshold=1e9, confidence=0.999)
    assert found[1] == pytest.approx(expected[:, :2], abs=1e-3)


def test_a_large_face_is_averaged_and_not_sampled() -> None:
    # Stripes of one pixel are gray from afar; every fourth pixel alone would be black or white.
    stripes = np.zeros((800, 800), np.uint8)
    stripes[:, ::2] = 200
    cut = _cut(stripes, np.array([400.0, 300.0]), 0.25 * np.eye(2))
    assert (cut.min(), cut.max()) == (100, 100)


def test_a_large_face_is_cut_where_it_is() -> None:
    image = np.zeros((900, 900), np.uint8)
    image[300:340, 500:540] = 255
    cut = _cut(image, np.array([519.5, 319.5]), 0.25 * np.eye(2))
    assert np.argwhere(cut > 127).mean(axis=0) == pytest.approx([47.5, 47.5], abs=0.3)


def test_a_face_lost_for_a_second_is_named(face: Frames) -> None:
    covered = face.copy()
    covered[20:50] = 128
    assert find_mouth(face).problem == ""
    assert find_mouth(covered).problem == "the face is lost from 0.8 to 2.0 s"


@needs_models
def test_an_upside_down_face_has_the_same_mouth(face: Frames) -> None:
    upright, turned = (find_mouth(frames, MODELS) for frames in (face[:30], face[:30, ::-1, ::-1].copy()))
    assert upright.found_share == turned.found_share == 1.0
    assert upright.confidence > 0.99
    assert upright.faces == turned.faces == 1
    assert np.abs(upright.frames.astype(int) - turned.frames).mean() < 2


@needs_models
def test_a_larger_face_has_a_mouth_of_the_same_size(face: Frames) -> None:
    large = np.stack([cv2.resize(image, (1280, 1024)) for image in face[:8]])
    small = find_mouth(face[:8], MODELS)
    assert np.abs(find_mouth(large, MODELS).frames.astype(int) - small.frames).mean() < 3


def test_a_picture_that_stands_still_is_named(face: Frames) -> None:
    still = np.repeat(face[:1], 30, axis=0)
    assert find_mouth(still).problem == "the picture stands still: the mouth never moves"


@needs_models
def test_a_hand_before_the_mouth_is_named(face: Frames) -> None:
    covered = face.copy()
    for image in covered[30:60]:
        cv2.ellipse(image, (157, 230), (42, 30), 20, 0, 360, 150, -1)
    assert find_mouth(face, MODELS).problem == ""
    found = find_mouth(covered, MODELS)
    assert found.found_share == 1.0
    assert found.problem == "something covers the mouth from 1.2 to 2.4 s"


@needs_models
@pytest.mark.parametrize("speaker", [0, 1])
def test_of_two_people_it_is_the_one_whose_mouth_moves_with_the_sound(speaker: int) -> None:
    clips = [GRID / "bbaf2n.mpg", GRID / "swiz3n.mpg"]
    people = [read_video(clip).frames for clip in clips]
    # The other one listens: a moment of silence, there and back again.
    listening = people[1 - speaker][np.abs(np.arange(75) % 14 - 7)]
    both = [people[0], listening] if speaker == 0 else [listening, people[1]]
    sound = read_audio(clips[speaker])
    samples = resample(sound.samples, sound.sampling_rate, SAMPLING_RATE)
    found = find_mouth(np.concatenate(both, axis=2), MODELS, samples)
    alone = find_mouth(people[speaker], MODELS)
    assert found.faces == 2
    assert np.abs(found.frames.astype(int) - alone.frames).mean() < 4
