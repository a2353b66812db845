"""Everybody in a video is followed, however it was filmed."""

from pathlib import Path

import numpy as np
import pytest

from mome.speech.faces.models import FaceModels
from mome.speech.faces.tracks import Tracks, follow_faces
from mome.speech.video import Frames, read_video

GRID, SHARED = Path("../shared/corpora/grid"), Path("../shared/models/face")
MODELS = FaceModels(SHARED / "face_detection_short_range.tflite", SHARED / "face_landmark.tflite")

pytestmark = pytest.mark.skipif(
    not (GRID.is_dir() and SHARED.is_dir()), reason="needs the recordings and models of ../shared"
)


@pytest.fixture(scope="module")
def face() -> Frames:
    return read_video(GRID / "bbaf2n.mpg").frames[:40]


def middle(tracks: Tracks) -> np.ndarray:
    return np.mean([face.mouth for face in tracks.people[0].faces.values()], axis=0)


def test_lips_are_where_they_were_read_off_by_eye(face: Frames) -> None:
    tracks = follow_faces(face, MODELS)
    (person,) = tracks.people
    assert len(person.faces) == tracks.searched == 20
    # Of frame 0, as in test_mouth: within 3 % of the width of the face.
    assert np.linalg.norm(person.faces[0].mouth - [157, 218]) < 0.03 * person.faces[0].side


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_lying_and_upside_down_faces_are_the_same_faces(face: Frames, quarters: int) -> None:
    x, y = middle(follow_faces(face[:10], MODELS))
    turned = follow_faces(np.ascontiguousarray(np.rot90(face[:10], quarters, (1, 2))), MODELS)
    height, width = face.shape[1:]
    expected = {1: (y, width - 1 - x), 2: (width - 1 - x, height - 1 - y), 3: (height - 1 - y, x)}[quarters]
    assert np.linalg.norm(middle(turned) - expected) < 2


def test_the_cascade_finds_the_face_for_the_landmarks(face: Frames) -> None:
    alone = follow_faces(face[:10], FaceModels(landmarks=MODELS.landmarks))
    assert np.linalg.norm(middle(alone) - middle(follow_faces(face[:10], MODELS))) < 1


def test_a_detector_alone_knows_the_mouth_less_exactly(face: Frames) -> None:
    alone = follow_faces(face[:10], FaceModels(detector=MODELS.detector))
    assert len(alone.people[0].faces) == 5
    assert np.linalg.norm(middle(alone) - middle(follow_faces(face[:10], MODELS))) < 8


def test_two_people_are_two(face: Frames) -> None:
    other = read_video(GRID / "swiz3n.mpg").frames[:20]
    both = follow_faces(np.concatenate([face[:20], other], axis=2), MODELS)
    assert [len(person.faces) for person in both.people] == [10, 10]
    assert sorted(person.last.mouth[0] > face.shape[2] for person in both.people) == [False, True]


def test_a_picture_without_anybody_has_nobody() -> None:
    assert follow_faces(np.full((12, 120, 160), 90, np.uint8), MODELS).people == ()
