"""A face in a picture: where it is, how sure that is, and the points that hold still while it speaks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

__all__ = ["Face", "MeanFace", "roll_of", "turned"]

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MeanFace:
    """Where the stable points of a model lie in a face that looks at the camera.

    Args:
        points: ``(P, 2)`` in centimetres, right and down from between the eyes.
    """

    points: Points


@dataclass(frozen=True, eq=False)
class Face:
    """One face, in pixels of its picture.

    Args:
        centre: ``(2,)``, of the face.
        side: Of the square around it.
        roll: By which it is turned, in radians clockwise.
        score: How sure the model is, 0 to 1.
        points: ``(P, 2)`` stable ones, in the order of the model's mean face.
        mouth: ``(2,)``, the middle of the lips.
    """

    centre: Points
    side: float
    roll: float
    score: float
    points: Points
    mouth: Points


def roll_of(right_eye: Points, left_eye: Points) -> float:
    """Return by how much the line from the right eye, on the left of a picture, to the left one leans."""
    return float(np.arctan2(left_eye[1] - right_eye[1], left_eye[0] - right_eye[0]))


def turned(face: Face, quarters: int, shape: tuple[int, int]) -> Face:
    """Return a face that was found in a picture turned counter-clockwise, in pixels of that picture.

    Args:
        face: In the picture after ``np.rot90(picture, quarters)``.
        quarters: Of a turn.
        shape: Height and width before.
    """
    height, width = shape

    def back(points: Points) -> Points:
        x, y = points[..., 0], points[..., 1]
        corners = {
            0: (x, y),
            1: (width - 1 - y, x),
            2: (width - 1 - x, height - 1 - y),
            3: (y, height - 1 - x),
        }
        return np.stack(corners[quarters % 4], axis=-1)

    return replace(
        face,
        centre=back(face.centre),
        roll=face.roll + quarters * np.pi / 2,
        points=back(face.points),
        mouth=back(face.mouth),
    )
