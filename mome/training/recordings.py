"""Augmentation of recordings: Llama-AVSR's masks and cuts, and lips as another camera would see them."""

# Shape letters: N samples, T frames, H height, W width of a picture.

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mome.scales import VIDEO_FRAMES_PER_SECOND
from mome.speech.audio import SAMPLING_RATE

__all__ = ["cut_lips", "mask_lips", "mask_sound", "vary_lips"]

_MASK_S = 0.4  # no mask is that long: they have 0 to 6399 samples, 0 to 9 frames
_CONTRAST, _LIGHT = (0.75, 1.3), 25  # factor on it, levels of gray
_HIDDEN, _LONGEST_HIDDEN = 2, 8  # stretches of a clip, frames

Values = TypeVar("Values", NDArray[np.float32], NDArray[np.uint8])


def mask_sound(samples_N: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return sound at 16 kHz with a silent stretch for every begun second (model facts 6).

    Noise is added afterwards, and goes on through a mask. A clip of which nothing would be left comes
    back as it was: there is no level at which noise could be added to silence.
    """
    masked_N = _mask(samples_N, SAMPLING_RATE, rng)
    return masked_N if masked_N.any() else samples_N


def mask_lips(frames_THW: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return mouth frames with a black stretch for every begun second (model facts 6)."""
    return _mask(frames_THW, VIDEO_FRAMES_PER_SECOND, rng)


def cut_lips(frames_THW: NDArray[np.uint8], side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return ``side`` x ``side`` pixels of every frame, from one place drawn for the whole clip.

    The papers cut 88 of 96 pixels, and never mirror a clip (model facts 6).
    """
    top, left = (int(rng.integers(whole - side + 1)) for whole in frames_THW.shape[1:])
    return frames_THW[:, top : top + side, left : left + side]


def vary_lips(frames_THW: NDArray[np.uint8], side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a mouth as another camera would have seen it on another day, ``(T, side, side)``.

    It is cut out anywhere, mirrored or not, lighter or darker, with more or less contrast, and hidden for
    two short stretches. To an encoder that was taught these clips it is then about as hard to read as clips
    that it has never seen; unvaried it is much easier, and an LLM that reads it so learns to trust lips
    more than sound.
    """
    cut_THW = cut_lips(frames_THW, side, rng)
    if rng.random() < 0.5:
        cut_THW = cut_THW[:, :, ::-1]
    middle = cut_THW.mean(dtype=np.float32)
    contrast, light = np.float32(rng.uniform(*_CONTRAST)), np.float32(rng.uniform(-_LIGHT, _LIGHT))
    lit_THW = (cut_THW - middle) * contrast + (middle + light)
    for _ in range(_HIDDEN):
        length = int(rng.integers(_LONGEST_HIDDEN + 1))
        start = int(rng.integers(max(1, len(lit_THW) - length)))
        lit_THW[start : start + length] = middle
    return lit_THW.clip(0, 255).astype(np.uint8)


def _mask(values: Values, per_second: int, rng: np.random.Generator) -> Values:
    """Set stretches along the first axis to zero.

    As published, two numbers are drawn for a mask: its length, and how far from the end of the clip it
    must begin, at which zero means no mask at all.
    """
    masked = values.copy()
    count = -(-len(values) // per_second)
    for length, from_end in rng.integers(round(_MASK_S * per_second), size=(count, 2)):
        if 0 < from_end < len(values):
            start = int(rng.integers(len(values) - from_end))
            masked[start : start + length] = 0
    return masked
