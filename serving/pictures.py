"""Single camera frames to the mouths in them; runs where recordings are decoded."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mome.speech.faces.models import CASCADE, FaceModels
from mome.speech.mouth import find_mouth
from serving.errors import ApiError

__all__ = ["Mouths", "Pictures", "look"]


@dataclass(frozen=True)
class Pictures:
    """JPEG or PNG files of one face, in the order in which they were taken.

    Args:
        files: All of one size; 96 x 96 is taken for mouths that were cut out already.
        seen: How many of them, at the beginning, only steady the box of the others.
        face_models: That cut out the mouths that the model was taught on.
    """

    files: tuple[bytes, ...]
    seen: int
    face_models: FaceModels = CASCADE


@dataclass(frozen=True, eq=False)
class Mouths:
    """Mouths ``(T, 96, 96)`` of the pictures after ``seen``; none where no face was found."""

    frames: npt.NDArray[np.uint8]


def look(pictures: Pictures) -> Mouths:
    """Find the mouth in each picture.

    Raises:
        ApiError: If a picture cannot be decoded, or has another size than the first.
    """
    images = [_gray(file) for file in pictures.files]
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        sizes = ", ".join(f"{width} x {height}" for height, width in sorted(shapes))
        raise ApiError(
            f"frames of one session have one size, got {sizes}", param="frames", code="invalid_value"
        )
    track = find_mouth(np.stack(images), pictures.face_models)
    found = track.frames[pictures.seen :] if track.found_share else track.frames[:0]
    return Mouths(np.asarray(found, np.uint8))


def _gray(file: bytes) -> npt.NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ApiError("a frame is neither JPEG nor PNG", param="frames", code="undecodable_media")
    return np.asarray(image, np.uint8)
