"""Mouth: find it in video of a face and cut out what AV-HuBERT looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mome.scales import VIDEO_FRAMES_PER_SECOND
from mome.speech.faces.cascade import cascade_boxes
from mome.speech.faces.face import MeanFace
from mome.speech.faces.models import CASCADE, FaceModels
from mome.speech.faces.tracks import STRIDE, Track, follow_faces
from mome.speech.synchrony import synchrony

__all__ = ["MOUTH_SIZE", "MouthTrack", "find_mouth", "sharpness"]

MOUTH_SIZE = 96  # pixels, AV-HuBERT's stored region of interest

_SMOOTHING = 6  # frames on either side; AV-HuBERT smooths landmarks over the same window
_LOST = VIDEO_FRAMES_PER_SECOND  # frames without a face, of which one should know
_APART = 5  # frames, in which lips that speak move
_STILL = 0.5  # gray levels, of 255; talkers of GRID move by 3.6 and more
_LIPS = slice(34, 72), slice(18, 78)  # of the crop
_ALIKE = 0.4  # correlation with the clip's usual lips; talkers of GRID are below for three frames at most
_COVERED = 12  # frames, half a second

# Parts of the cascade's face box (square, from the brow to the chin): where the mouth is and how much to cut.
_MOUTH_DOWN = 0.8
_CROP_SIDE = 0.5
# Pixels of the crop for a centimetre of the mean face: as large as the cascade cuts the same faces, so that
# an encoder taught on the one sees its mouths in the other.
_PIXELS_PER_CM = 11.0

Frames = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MouthTrack:
    """The mouth over time.

    Args:
        frames: ``(T, 96, 96)`` uint8 gray.
        found_share: Share of the searched frames in which a face was found, 0 to 1.
        confidence: How sure the model is of the faces that it found, on average; the cascade does not say,
            and has its share here.
        faces: How many are seen for a quarter of the time or more.
        problem: What one should know of the mouth, in one sentence; empty when all is well.
    """

    frames: Frames
    found_share: float
    confidence: float
    faces: int
    problem: str = ""


def find_mouth(
    frames: Frames, models: FaceModels = CASCADE, samples: npt.NDArray[np.float32] | None = None
) -> MouthTrack:
    """Cut the mouth of a talking face out of every frame ``(T, H, W)``.

    Frames of 96 x 96 already are mouth video and pass through. Where no face is found the place is
    interpolated from its neighbours; a video without any face gives its middle, with a share of 0.

    With landmarks a face may lean, lie or stand on its head, and comes out upright, as large as any other:
    stable points are laid on those of a mean face (model facts 10). Of several people it is the one whose
    mouth moves with the sound, without sound who is seen longest.

    Args:
        frames: Gray.
        models: That find the face.
        samples: ``(N,)`` at 16 kHz, from the first frame on.

    Raises:
        ConfigError: If a model cannot be loaded.
    """
    if frames.shape[1:] == (MOUTH_SIZE, MOUTH_SIZE):
        return MouthTrack(frames, 1.0, 1.0, 1)
    return _with_landmarks(frames, models, samples) if models else _with_cascade(frames)


def sharpness(mouth: Frames) -> float:
    """Return how sharp mouth video ``(T, 96, 96)`` is: the median variance of its Laplacian.

    Falls with blur, darkness and low contrast, whatever is said.
    """
    return float(np.median([cv2.Laplacian(image, cv2.CV_64F).var() for image in mouth]))


def _with_landmarks(
    frames: Frames, models: FaceModels, samples: npt.NDArray[np.float32] | None
) -> MouthTrack:
    tracks = follow_faces(frames, models)
    if not tracks.people:
        return _nobody(frames)
    people = tracks.people if samples is not None else tracks.people[:1]
    seen = [(_aligned(frames, person, tracks.mean_face), person) for person in people]
    mouths, speaker = seen[0]
    if samples is not None and len(seen) > 1:
        mouths, speaker = max(seen, key=lambda each: _confidence(each[0], samples))
    return MouthTrack(
        mouths,
        len(speaker.faces) / tracks.searched,
        float(np.mean([face.score for face in speaker.faces.values()])),
        len(tracks.people),
        _gap(sorted(speaker.faces), len(frames)) or _still(mouths) or _covered(mouths),
    )


def _confidence(mouths: Frames, samples: npt.NDArray[np.float32]) -> float:
    """Return how probable it is that this mouth makes the sound; nothing where nothing can be said."""
    found = synchrony(mouths, samples)
    return 0.0 if found is None else found.confidence


def _aligned(frames: Frames, track: Track, mean_face: MeanFace) -> Frames:
    """Return the mouth of one face, laid on the mean face by its stable points."""
    seen = sorted(track.faces)
    points = _interpolate(seen, np.stack([track.faces[index].points for index in seen]), len(frames))
    mouth = _interpolate(seen, np.stack([track.faces[index].mouth for index in seen]), len(frames))
    # The papers smooth the shape alone: the place is that of the moment, or the crop would lag behind.
    here = points.mean(axis=1)
    shapes = _smooth(points - here[:, None])
    centres = here + _smooth(mouth - here)
    mean = (mean_face.points - mean_face.points.mean(axis=0)) * _PIXELS_PER_CM
    turns = _similarities(shapes, mean)
    return np.stack(
        [_cut(image, centre, turn) for image, centre, turn in zip(frames, centres, turns, strict=True)]
    )


def _similarities(shapes: Boxes, mean: Boxes) -> Boxes:
    """Return turn and scale ``(T, 2, 2)`` that lay shapes ``(T, P, 2)`` on the mean face by least squares.

    Both are centred. As complex numbers the points are laid on each other by one factor (Umeyama 1991,
    in the plane and without mirroring).
    """
    given, wanted = shapes[..., 0] + 1j * shapes[..., 1], mean[:, 0] + 1j * mean[:, 1]
    factors = (given.conj() @ wanted) / np.maximum((np.abs(given) ** 2).sum(axis=1), 1e-9)
    rows = [[factors.real, -factors.imag], [factors.imag, factors.real]]
    turns: Boxes = np.moveaxis(np.array(rows), -1, 0)
    return turns


def _with_cascade(frames: Frames) -> MouthTrack:
    searched = np.arange(0, len(frames), STRIDE)
    found: list[tuple[int, npt.NDArray[np.float64]]] = []
    counts: list[int] = []
    for index in searched:
        faces = cascade_boxes(frames[index])
        counts.append(len(faces))
        if len(faces):
            found.append((int(index), faces[0]))
    if not found:
        return _nobody(frames)
    seen = [index for index, _ in found]
    boxes = _smooth(_near(seen, np.stack([box for _, box in found]), len(frames)))
    centres = boxes[:, :2] + np.stack([np.zeros(len(boxes)), (_MOUTH_DOWN - 0.5) * boxes[:, 2]], axis=1)
    scales = MOUTH_SIZE / (boxes[:, 2] * _CROP_SIDE)
    mouths = np.stack(
        [
            _cut(image, centre, scale * np.eye(2))
            for image, centre, scale in zip(frames, centres, scales, strict=True)
        ]
    )
    share = len(found) / len(searched)
    # It takes a shirt for a face now and then, but not most of the time.
    problem = _gap(seen, len(frames)) or _still(mouths)
    return MouthTrack(mouths, share, share, max(1, int(np.median(counts))), problem)


def _near(seen: list[int], boxes: Boxes, count: int) -> Boxes:
    """Return a box ``(count, 3)`` for every frame, without those of something else."""
    # The cascade now and then takes a shirt for a larger face: a far box is no head move.
    usual = np.median(boxes, axis=0)
    near = np.abs(boxes - usual).max(axis=1) < usual[2]
    if not near.any():
        return _interpolate(seen, boxes, count)
    return _interpolate(np.asarray(seen)[near].tolist(), boxes[near], count)


def _nobody(frames: Frames) -> MouthTrack:
    return MouthTrack(_middle(frames), 0.0, 0.0, 0, "no face was found in the video")


def _gap(seen: list[int], count: int) -> str:
    """Return where nobody was seen for a second or more; empty if somebody always was."""
    ends = np.array([-1, *seen, count + STRIDE - 1])
    longest = int(np.diff(ends).argmax())
    start, end = ends[longest] + 1, min(ends[longest + 1], count)
    if end - start < _LOST:
        return ""
    return f"the face is lost {_from_to(start, end)}"


def _still(mouths: Frames) -> str:
    """Return whether the mouth never moves, over a second or more."""
    if len(mouths) < _LOST or np.abs(np.diff(mouths[::_APART].astype(np.int16), axis=0)).mean() > _STILL:
        return ""
    return "the picture stands still: the mouth never moves"


def _covered(mouths: Frames) -> str:
    """Return where something else than the mouth is seen; a head that turns far away looks like it, too."""
    lips = mouths[:, *_LIPS]
    usual = _normal(np.median(lips, axis=0))
    alike = np.array([float((_normal(image) * usual).sum()) for image in lips])
    ends = np.flatnonzero(np.concatenate([[True], alike >= _ALIKE, [True]])) - 1
    longest = int(np.diff(ends).argmax())
    start, end = int(ends[longest]) + 1, int(ends[longest + 1])
    return "" if end - start < _COVERED else f"something covers the mouth {_from_to(start, end)}"


def _normal(image: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    centred = image - image.mean(dtype=np.float64)
    normal: npt.NDArray[np.float64] = centred / max(float(np.linalg.norm(centred)), 1e-9)
    return normal


def _from_to(start: int, end: int) -> str:
    return f"from {start / VIDEO_FRAMES_PER_SECOND:.1f} to {end / VIDEO_FRAMES_PER_SECOND:.1f} s"


def _interpolate(seen: list[int], values: Boxes, count: int) -> Boxes:
    """Return values ``(count, ...)`` for every frame, linear between those seen, constant beyond them."""
    flat = values.reshape(len(values), -1)
    moments = np.arange(count)
    columns = [np.interp(moments, seen, flat[:, column]) for column in range(flat.shape[1])]
    return np.stack(columns, axis=1).reshape(count, *values.shape[1:])


def _smooth(values: Boxes) -> Boxes:
    """Return the mean over a window of frames, narrower at the ends."""
    return np.stack(
        [values[max(0, i - _SMOOTHING) : i + _SMOOTHING + 1].mean(axis=0) for i in range(len(values))]
    )


def _cut(image: Frames, centre: npt.NDArray[np.float64], turn: npt.NDArray[np.float64]) -> Frames:
    """Return 96 x 96 pixels around ``centre``, turned and scaled by ``turn``, with sub-pixel position."""
    scale = float(np.hypot(*turn[:, 0]))
    if scale < 0.5:
        image, centre = _shrunk(image, centre, scale)
        turn = turn / scale
    middle = (MOUTH_SIZE - 1) / 2
    shift = np.column_stack([turn, middle - turn @ centre])
    cut = cv2.warpAffine(
        image, shift, (MOUTH_SIZE, MOUTH_SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cut, dtype=np.uint8)


def _shrunk(
    image: Frames, centre: npt.NDArray[np.float64], scale: float
) -> tuple[Frames, npt.NDArray[np.float64]]:
    """Return what is around ``centre`` at ``scale``: shrinking by more than two would skip pixels."""
    reach = int(np.ceil(MOUTH_SIZE / scale))  # of a square that is turned, with something to spare
    # A face that is half outside has its mouth near the border at least.
    x, y = (int(np.clip(at, 0, size - 1)) for at, size in zip(centre, image.shape[::-1], strict=True))
    left, top = max(0, x - reach), max(0, y - reach)
    part = image[top : y + reach, left : x + reach]
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    small = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    exact = np.array(size) / part.shape[::-1]
    return small, (centre - [left, top] + 0.5) * exact - 0.5


def _middle(frames: Frames) -> Frames:
    height, width = frames.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = frames[:, top : top + side, left : left + side]
    size = (MOUTH_SIZE, MOUTH_SIZE)
    return np.stack([np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA)) for image in square])
