"""The cascade that comes with OpenCV: a face that looks at the camera, upright, and no landmarks."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import cv2.data
import numpy as np
import numpy.typing as npt

__all__ = ["cascade_boxes"]

_SEARCH_WIDTH = 200  # pixels to which a frame is shrunk for the search: enough for a face, and fast

_local = threading.local()


def cascade_boxes(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return the faces ``(N, 3)`` as centre x, centre y and side in pixels, the largest first."""
    factor = min(1.0, _SEARCH_WIDTH / image.shape[1])
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    smallest = max(24, min(small.shape) // 5)
    faces = _cascade().detectMultiScale(small, scaleFactor=1.1, minNeighbors=4, minSize=(smallest, smallest))
    largest_first = sorted(faces, key=lambda face: -face[2])
    boxes = [(x + side / 2, y + side / 2, side) for x, y, side, _ in largest_first]
    return np.array(boxes, np.float64).reshape(-1, 3) / factor


def _cascade() -> cv2.CascadeClassifier:
    # One per thread: a cascade keeps buffers while it searches.
    if not hasattr(_local, "cascade"):
        path = Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"
        _local.cascade = cv2.CascadeClassifier(str(path))
    cascade: cv2.CascadeClassifier = _local.cascade
    return cascade
