"""MediaPipe's face mesh: 468 landmarks of a face whose place is about known (arXiv:1907.06724).

Its file is ``face_landmark.tflite``; OpenCV reads it.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mome.speech.faces.face import Face, MeanFace, Points, roll_of
from mome.speech.faces.tflite import read_network

__all__ = ["FaceMesh"]

_SIZE = 192  # pixels of its input
_OUTPUTS = ["conv2d_21", "conv2d_31"]  # landmarks, and whether there is a face
_MARGIN = 1.5  # side of the input over that of the face, MediaPipe's own
_LEAST_SCORE = 0.5  # likewise
_RIGHT_EYE, _LEFT_EYE = 33, 263  # outer corners
# As in the papers' preparation: corners of the eyes and of the mouth (model facts 10).
_STABLE = [33, 133, 362, 263, 61, 291]
# Of MediaPipe's canonical face model; its y points up.
_MEAN_CM = (
    (-4.445859, -2.663991),
    (-1.856432, -2.585245),
    (1.856432, -2.585245),
    (4.445859, -2.663991),
    (-2.456206, 4.342621),
    (2.456206, 4.342621),
)
_OUTER_LIPS = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146]
_INNER_LIPS = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95]
_LIPS = _OUTER_LIPS + _INNER_LIPS  # the papers take the mean of all points of the mouth


class FaceMesh:
    """Finds the landmarks of a face.

    Args:
        path: The model file.

    Raises:
        ValueError: If it is another model.
    """

    mean_face = MeanFace(np.array(_MEAN_CM))

    def __init__(self, path: Path) -> None:
        self._net = read_network(path, _OUTPUTS)

    def follow(self, image: npt.NDArray[np.uint8], centre: Points, side: float, roll: float) -> Face | None:
        """Return the face of a gray picture ``(H, W)`` near a place, or None if there is none.

        Args:
            image: In which to look.
            centre: ``(2,)`` of the face, in pixels.
            side: Of the square around it.
            roll: By which it is turned, in radians clockwise.
        """
        scale = _SIZE / (side * _MARGIN)
        cos, sin = np.cos(roll) * scale, np.sin(roll) * scale
        turn = np.array([[cos, sin], [-sin, cos]])
        shift = _SIZE / 2 - turn @ centre
        cut = cv2.warpAffine(image, np.column_stack([turn, shift]), (_SIZE, _SIZE), flags=cv2.INTER_LINEAR)
        self._net.setInput(np.repeat((cut.astype(np.float32) / 255.0)[None, None], 3, axis=1))
        landmarks, logit = self._net.forward(_OUTPUTS)
        score = 1.0 / (1.0 + np.exp(-float(np.clip(logit.item(), -50.0, 50.0))))
        if score < _LEAST_SCORE:
            return None
        inside = landmarks.reshape(-1, 3)[:, :2].astype(np.float64)
        points = (inside - shift) @ np.linalg.inv(turn).T
        # Of the turned square, so that a head that leans is not larger than one that does not.
        low, high = inside.min(axis=0), inside.max(axis=0)
        middle = np.linalg.solve(turn, (low + high) / 2 - shift)
        return Face(
            centre=middle,
            side=float((high - low).max() / scale),
            roll=roll_of(points[_RIGHT_EYE], points[_LEFT_EYE]),
            score=score,
            points=points[_STABLE],
            mouth=points[_LIPS].mean(axis=0),
        )
