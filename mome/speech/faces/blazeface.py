"""BlazeFace, MediaPipe's short-range detector: boxes with eyes, nose and mouth (arXiv:1907.05047).

Its file is ``face_detection_short_range.tflite``; OpenCV reads it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mome.speech.faces.face import Face, MeanFace, roll_of
from mome.speech.faces.tflite import read_network

__all__ = ["BlazeFace"]

_SIZE = 128  # pixels of its input
_WIDE, _WIDEST = 1.5, 6.0  # of the longer side over the shorter: no camera makes more than four
_OUTPUTS = ["classificators", "regressors"]
_LAYERS = ((16, 2), (8, 6))  # cells on a side, anchors in each
_LEAST_SCORE = 0.5  # MediaPipe's own
_OVERLAP = 0.3  # of two boxes that are one face, likewise
_RIGHT_EYE, _LEFT_EYE, _NOSE, _MOUTH = range(4)  # of its six key points; ears follow
_KEY_POINTS = 6
_STABLE = [_RIGHT_EYE, _LEFT_EYE, _NOSE, _MOUTH]
# Of MediaPipe's canonical face: the middle of the corners of each eye, tip of the nose, middle of the mouth.
_MEAN_CM = ((-3.151, -2.625), (3.151, -2.625), (0.0, 1.127), (0.0, 4.343))


class BlazeFace:
    """Finds the faces of a picture that fill a fifth of it or more.

    Args:
        path: The model file.

    Raises:
        ValueError: If it is another model.
    """

    mean_face = MeanFace(np.array(_MEAN_CM))

    def __init__(self, path: Path) -> None:
        self._net = read_network(path, _OUTPUTS)
        self._anchors = _anchors()

    def find(self, image: npt.NDArray[np.uint8]) -> list[Face]:
        """Return the faces of a gray picture ``(H, W)``, the surest first.

        A wide or tall picture is looked at in squares as well: shrunk as a whole, its faces are too small.
        """
        faces = []
        for left, top in _corners(image.shape):
            side = min(image.shape)
            faces += [
                replace(face, centre=face.centre + at, points=face.points + at, mouth=face.mouth + at)
                for at in [np.array([left, top], np.float64)]
                for face in self._find(image[top : top + side, left : left + side])
            ]
        return _apart(faces + self._find(image))

    def _find(self, image: npt.NDArray[np.uint8]) -> list[Face]:
        factor = _SIZE / max(image.shape)
        size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        top, left = (_SIZE - size[1]) // 2, (_SIZE - size[0]) // 2
        square = np.zeros((_SIZE, _SIZE), np.float32)
        square[top : top + size[1], left : left + size[0]] = small
        self._net.setInput(np.repeat((square / 127.5 - 1.0)[None, None], 3, axis=1))
        logits, offsets = self._net.forward(_OUTPUTS)
        scores = 1.0 / (1.0 + np.exp(-np.clip(logits[0, :, 0], -50.0, 50.0)))
        sure = np.flatnonzero(scores > _LEAST_SCORE)
        offsets = offsets[0, sure].astype(np.float64)
        anchors = self._anchors[sure]
        corner = np.array([left, top])
        centres = (offsets[:, :2] + anchors * _SIZE - corner) / factor
        sides = offsets[:, 2:4].max(axis=1) / factor
        points = (offsets[:, 4:].reshape(-1, _KEY_POINTS, 2) + anchors[:, None] * _SIZE - corner) / factor
        return [
            Face(
                centre,
                float(side),
                roll_of(*known[[_RIGHT_EYE, _LEFT_EYE]]),
                float(score),
                known[_STABLE],
                known[_MOUTH],
            )
            for centre, side, score, known in zip(centres, sides, scores[sure], points, strict=True)
        ]


def _corners(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return left and top of squares that overlap by half and more.

    There are none where the picture nearly is one, and none in a strip that no camera makes.
    """
    height, width = shape
    side = min(height, width)
    if not _WIDE <= max(height, width) / side <= _WIDEST:
        return []
    count = int(np.ceil(2 * (max(height, width) / side - 1))) + 1
    lefts, tops = (np.linspace(0, size - side, count).astype(int).tolist() for size in (width, height))
    return list(zip(lefts, tops, strict=True))


def _anchors() -> npt.NDArray[np.float64]:
    """Return the middle of every anchor ``(A, 2)`` as a share of the picture."""
    grids = []
    for cells, count in _LAYERS:
        y, x = np.mgrid[:cells, :cells]
        middles = (np.stack([x.ravel(), y.ravel()], axis=1) + 0.5) / cells
        grids.append(np.repeat(middles, count, axis=0))
    return np.concatenate(grids)


def _apart(faces: list[Face]) -> list[Face]:
    """Return those that are faces of their own, the surest first: each is found by several anchors."""
    if not faces:
        return []
    boxes = [(*(face.centre - face.side / 2), face.side, face.side) for face in faces]
    scores = [face.score for face in faces]
    return [faces[int(kept)] for kept in cv2.dnn.NMSBoxes(boxes, scores, _LEAST_SCORE, _OVERLAP)]
