"""What synchrony is learnt from: pieces of clips, seen and heard anew in every step."""

# Shape letters: B clips, T frames, H = W = 32 pixels, F flows, M bands.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from mome.speech.lip_flow import PICTURE_SIZE, flow_of
from mome.speech.media import Clip
from mome.speech.synchrony_network import NUM_BANDS, SILENCE, sounds

__all__ = ["LONGEST", "MOST_LATE", "SHORTEST", "Lesson", "Piece", "draw", "lesson"]

SHORTEST, LONGEST = 40, 75  # frames of a piece
MOST_LATE = 8  # frames, by which its sound is moved either way

_HALF = 48  # pixels: lips are seen at half the size of the crop
_MIDDLE = 23.5, 25.5  # of them, across and down
_ZOOM, _WIDTH, _TURN_RAD, _SHIFT = 0.12, 0.08, 0.1, 2.0  # standard deviations
_DRIFT, _DRIFT_FRAMES = 0.4, 4.0  # pixels and frames: heads move, and so does the box around a face
_GAMMA, _CAMERA = 0.25, 3.0  # standard deviation; gray levels of noise at most
_BLURRED, _NOISY = 0.3, 0.4  # shares
_THROAT = 1.5  # bands, by which formants lie higher or lower: standard deviation
_LEVEL, _COLOUR, _JITTER = 0.3, 0.15, 0.1  # standard deviations, in 3 nepers


@dataclass(frozen=True)
class Lesson:
    """A clip as it is kept: mouth ``(T, 48, 48)`` uint8, and its sound ``(T, M)``."""

    mouth: NDArray[np.uint8]
    sound: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.mouth)


@dataclass(frozen=True)
class Piece:
    """Pieces of one length.

    Args:
        flow_BTF: Of the lips.
        sound_BTM: Of the same clips.
        late_B: Frames by which the sound comes after the lips.
    """

    flow_BTF: Tensor
    sound_BTM: Tensor
    late_B: Tensor


def lesson(clip: Clip) -> Lesson:
    """Return a clip with sound and lips as it is kept."""
    assert clip.mouth is not None  # whoever asks has looked
    assert clip.samples is not None
    halves = clip.mouth.reshape(len(clip.mouth), _HALF, 2, _HALF, 2).mean(axis=(2, 4))
    return Lesson(halves.astype(np.uint8), sounds(clip.samples, len(clip.mouth)))


def draw(lessons: Sequence[Lesson], count: int, rng: np.random.Generator) -> Piece:
    """Return ``count`` pieces of different clips, of one length: 1.6 to 3 s where clips are that long."""
    chosen = [lessons[index] for index in rng.permutation(len(lessons))[:count]]
    shortest = min(map(len, chosen))
    length = int(rng.integers(min(SHORTEST, shortest), min(LONGEST, shortest) + 1))
    late_B = rng.integers(-MOST_LATE, MOST_LATE + 1, len(chosen))
    flows, heard = [], []
    for each, late in zip(chosen, late_B, strict=True):
        start = int(rng.integers(len(each) - length + 1))
        flows.append(flow_of(_seen(each.mouth[start : start + length], rng)))
        first = start + MOST_LATE - late
        moved = np.pad(each.sound, ((MOST_LATE, MOST_LATE), (0, 0)), constant_values=SILENCE)
        heard.append(_heard(moved[first : first + length], rng))
    return Piece(
        torch.from_numpy(np.stack(flows)), torch.from_numpy(np.stack(heard)), torch.from_numpy(late_B)
    )


def _seen(mouth: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return lips ``(T, H, W)`` of a head that is a little elsewhere and moves, in another light."""
    places = np.array(_MIDDLE) + rng.normal(0, _SHIFT, 2) + _drift(len(mouth), rng)
    angle, zoom, width = rng.normal(0, _TURN_RAD), np.exp(rng.normal(0, _ZOOM)), np.exp(rng.normal(0, _WIDTH))
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ np.diag([width, 1])
    if rng.random() < 0.5:
        turn = turn @ np.diag([-1, 1])
    middle = (PICTURE_SIZE - 1) / 2
    bright = ((np.arange(256) / 255) ** np.exp(rng.normal(0, _GAMMA)) * 255).astype(np.float32)[mouth]
    pictures = np.stack(list(_cut(bright, places - turn @ [middle, middle], turn)))
    if rng.random() < _BLURRED:
        sigma = rng.uniform(0.5, 1.0)
        pictures = np.stack([cv2.GaussianBlur(picture, (0, 0), sigma) for picture in pictures])
    camera = rng.uniform(0, _CAMERA) * rng.standard_normal(pictures.shape, dtype=np.float32)
    return pictures + camera.astype(np.float32)


def _cut(
    frames: NDArray[np.float32], corners: NDArray[np.float64], turn: NDArray[np.float64]
) -> Iterable[NDArray[np.float32]]:
    for frame, corner in zip(frames, corners, strict=True):
        cut = cv2.warpAffine(
            frame,
            np.column_stack([turn, corner]),
            (PICTURE_SIZE, PICTURE_SIZE),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        yield np.asarray(cut, np.float32)


def _drift(num_frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    steps = gaussian_filter1d(rng.standard_normal((num_frames, 2)), _DRIFT_FRAMES, axis=0)
    drift: NDArray[np.float64] = rng.uniform(0, _DRIFT) * steps * (2 * np.sqrt(np.pi) * _DRIFT_FRAMES) ** 0.5
    return drift


def _in_another_throat(sound: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return sound ``(T, M)`` whose formants lie higher or lower, as those of a shorter or longer throat."""
    hops = sound.reshape(len(sound), -1, NUM_BANDS)
    bands = np.arange(NUM_BANDS)
    moved = np.clip(bands + rng.normal(0, _THROAT), 0, NUM_BANDS - 1)
    weights = np.stack([np.interp(moved, bands, band) for band in np.eye(NUM_BANDS)])
    warped: NDArray[np.float64] = (hops @ weights).reshape(sound.shape)
    return warped


def _heard(sound: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return sound ``(T, M)`` at another level, through another microphone, and often in noise."""
    heard = _in_another_throat(sound, rng) + rng.normal(0, _LEVEL)
    if rng.random() < _NOISY:
        heard = np.maximum(heard, rng.uniform(-1.5, 0.5))
    colour, jitter = rng.normal(0, _COLOUR, sound.shape[1]), rng.normal(0, _JITTER, sound.shape)
    return (heard + colour + jitter).astype(np.float32)
