"""A face that was found in a turned picture is where it is in the picture."""

import numpy as np
import pytest

from mome.speech.faces.face import Face, roll_of, turned


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_points_of_a_turned_picture_go_back_to_where_they_are(quarters: int) -> None:
    picture = np.zeros((30, 50), np.uint8)
    picture[7, 41] = 255
    y, x = np.argwhere(np.rot90(picture, quarters))[0]
    point = np.array([float(x), float(y)])
    face = turned(Face(point, 9.0, 0.0, 1.0, np.stack([point, point]), point), quarters, picture.shape)
    for found in (face.centre, face.mouth, *face.points):
        assert found.tolist() == [41.0, 7.0]


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_the_roll_of_a_turned_face_is_that_of_its_eyes(quarters: int) -> None:
    eyes = np.array([[10.0, 20.0], [30.0, 22.0]])
    face = Face(eyes.mean(axis=0), 9.0, roll_of(*eyes), 1.0, eyes, eyes[0])
    back = turned(face, quarters, (60, 80))
    assert np.exp(1j * back.roll) == pytest.approx(np.exp(1j * roll_of(*back.points)))
