"""YuNet, OpenCV's own detector: boxes with eyes, nose and the corners of the mouth.

Its file is ``face_detection_yunet_2023mar.onnx`` of the OpenCV Zoo.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mome.speech.faces.face import Face, MeanFace, roll_of

__all__ = ["YuNet"]

_LONGEST_SIDE = 320  # pixels to which a picture is shrunk for the search
_LEAST_SCORE = 0.6
# A row: box x, y, width, height; right eye, left eye, nose, right and left corner of the mouth; score.
_POINTS = slice(4, 14)
_SCORE = 14
_MEAN_CM = ((-3.151, -2.625), (3.151, -2.625), (0.0, 1.127), (-2.456, 4.343), (2.456, 4.343))


class YuNet:
    """Finds the faces of a picture.

    Args:
        path: The model file.
    """

    mean_face = MeanFace(np.array(_MEAN_CM))

    def __init__(self, path: Path) -> None:
        self._net = cv2.FaceDetectorYN.create(str(path), "", (_LONGEST_SIDE, _LONGEST_SIDE), _LEAST_SCORE)

    def find(self, image: npt.NDArray[np.uint8]) -> list[Face]:
        """Return the faces of a gray picture ``(H, W)``, the surest first."""
        factor = min(1.0, _LONGEST_SIDE / max(image.shape))
        small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        self._net.setInputSize((small.shape[1], small.shape[0]))
        _, rows = self._net.detect(cv2.cvtColor(small, cv2.COLOR_GRAY2BGR))
        faces = []
        for row in () if rows is None else rows.astype(np.float64):
            points = row[_POINTS].reshape(5, 2) / factor
            x, y, width, height = row[:4] / factor
            centre = np.array([x + width / 2, y + height / 2])
            score = float(np.clip(row[_SCORE], 0.0, 1.0))
            side, roll = float(max(width, height)), roll_of(points[0], points[1])
            faces.append(Face(centre, side, roll, score, points, points[3:].mean(axis=0)))
        return sorted(faces, key=lambda face: -face.score)
