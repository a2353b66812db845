"""The rows of OpenCV's detector become faces, in pixels of the picture and not of the shrunk one."""

from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import pytest

from mome.speech.faces.yunet import YuNet


class Planted:
    """Says what it was given, and answers with two rows in its own pixels."""

    sizes: ClassVar[list[tuple[int, int]]] = []

    def setInputSize(self, size: tuple[int, int]) -> None:  # noqa: N802
        self.sizes.append(size)

    def detect(self, image: np.ndarray) -> tuple[int, np.ndarray]:
        assert image.shape == (180, 320, 3)
        points = [30, 40, 50, 40, 40, 50, 33, 60, 47, 60]
        return 1, np.array([[20, 20, 40, 50, *points, 0.7], [200, 20, 40, 50, *points, 0.9]], np.float32)


def test_rows_are_faces_in_pixels_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *_: Planted())
    surest, other = YuNet(Path("face.onnx")).find(np.zeros((720, 1280), np.uint8))
    assert Planted.sizes == [(320, 180)]
    assert (surest.score, other.score) == pytest.approx((0.9, 0.7))
    assert other.centre.tolist() == [160.0, 180.0]
    assert other.side == 200.0
    assert other.mouth.tolist() == [160.0, 240.0]
    assert other.points[0].tolist() == [120.0, 160.0]
    assert other.roll == 0.0
