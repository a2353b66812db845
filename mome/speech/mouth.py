"""Mouth: find it in video of a face and cut out what AV-HuBERT looks at."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import cv2
import cv2.data
import numpy as np
import numpy.typing as npt

__all__ = ["MOUTH_SIZE", "MouthTrack", "find_mouth", "sharpness"]

MOUTH_SIZE = 96  # pixels, AV-HuBERT's stored region of interest

_SMOOTHING = 6  # frames on either side; AV-HuBERT smooths landmarks over the same window
_SEARCH_WIDTH = 200  # pixels to which a frame is shrunk for the search: enough for a face, and fast
_STRIDE = 2  # a head hardly moves in two frames: every second one is searched

# Parts of the cascade's face box (square, from the brow to the chin): where the mouth is and how much to cut.
_MOUTH_DOWN = 0.8
_CROP_SIDE = 0.5

Frames = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float64]
_local = threading.local()


@dataclass(frozen=True)
class MouthTrack:
    """The mouth over time.

    Args:
        frames: ``(T, 96, 96)`` uint8 gray.
        found_share: Share of the searched frames in which a face was found, 0 to 1.
    """

    frames: Frames
    found_share: float


def find_mouth(frames: Frames) -> MouthTrack:
    """Cut the mouth out of every frame ``(T, H, W)`` of one talking face.

    Frames of 96 x 96 already are mouth video and pass through. Where no face is found the box is
    interpolated from its neighbours; a video without any face gives its middle, with a share of 0.
    """
    if frames.shape[1:] == (MOUTH_SIZE, MOUTH_SIZE):
        return MouthTrack(frames, 1.0)
    searched = np.arange(0, len(frames), _STRIDE)
    found: list[tuple[int, npt.NDArray[np.float64]]] = []
    for index in searched:
        face = _largest_face(frames[index])
        if face is not None:
            found.append((int(index), face))
    if not found:
        return MouthTrack(_middle(frames), 0.0)
    boxes = _smooth(_interpolate(found, len(frames)))
    mouths = np.stack([_cut(image, box) for image, box in zip(frames, boxes, strict=True)])
    return MouthTrack(mouths, len(found) / len(searched))


def sharpness(mouth: Frames) -> float:
    """Return how sharp mouth video ``(T, 96, 96)`` is: the median variance of its Laplacian.

    Falls with blur, darkness and low contrast, whatever is said.
    """
    return float(np.median([cv2.Laplacian(image, cv2.CV_64F).var() for image in mouth]))


def _cascade() -> cv2.CascadeClassifier:
    # One per thread: a cascade keeps buffers while it searches.
    if not hasattr(_local, "cascade"):
        path = Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"
        _local.cascade = cv2.CascadeClassifier(str(path))
    cascade: cv2.CascadeClassifier = _local.cascade
    return cascade


def _largest_face(image: Frames) -> npt.NDArray[np.float64] | None:
    """Return the largest face as ``(centre x, centre y, side)`` in pixels of ``image``, or None."""
    factor = min(1.0, _SEARCH_WIDTH / image.shape[1])
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    smallest = max(24, min(small.shape) // 5)
    faces = _cascade().detectMultiScale(small, scaleFactor=1.1, minNeighbors=4, minSize=(smallest, smallest))
    if not len(faces):
        return None
    x, y, side, _ = max(faces, key=lambda face: face[2])
    box: npt.NDArray[np.float64] = np.array([x + side / 2, y + side / 2, side]) / factor
    return box


def _interpolate(found: list[tuple[int, npt.NDArray[np.float64]]], count: int) -> Boxes:
    """Return a box ``(count, 3)`` for every frame, linear between those found, constant beyond them."""
    indices = [index for index, _ in found]
    boxes = np.stack([box for _, box in found])
    # The cascade now and then takes a shirt for a larger face: a far box is no head move.
    usual = np.median(boxes, axis=0)
    near = np.abs(boxes - usual).max(axis=1) < usual[2]
    positions = np.asarray(indices)[near] if near.any() else np.asarray(indices)
    kept = boxes[near] if near.any() else boxes
    moments = np.arange(count)
    return np.stack([np.interp(moments, positions, kept[:, column]) for column in range(3)], axis=1)


def _smooth(boxes: Boxes) -> Boxes:
    """Return the mean over a window of frames, narrower at the ends."""
    return np.stack(
        [boxes[max(0, i - _SMOOTHING) : i + _SMOOTHING + 1].mean(axis=0) for i in range(len(boxes))]
    )


def _cut(image: Frames, box: npt.NDArray[np.float64]) -> Frames:
    """Return the mouth of the face in ``box`` as 96 x 96 pixels, with sub-pixel position."""
    x, y, side = box
    scale = MOUTH_SIZE / (side * _CROP_SIDE)
    mouth_y = y + (_MOUTH_DOWN - 0.5) * side
    middle = (MOUTH_SIZE - 1) / 2
    shift = np.array([[scale, 0.0, middle - scale * x], [0.0, scale, middle - scale * mouth_y]])
    # Shrinking by more than two would skip pixels: average them first.
    interpolation = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
    cut = cv2.warpAffine(
        image, shift, (MOUTH_SIZE, MOUTH_SIZE), flags=interpolation, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cut, dtype=np.uint8)


def _middle(frames: Frames) -> Frames:
    height, width = frames.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = frames[:, top : top + side, left : left + side]
    size = (MOUTH_SIZE, MOUTH_SIZE)
    return np.stack([np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA)) for image in square])
