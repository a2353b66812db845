"""Mouth video from phoneme times: 25 frames per second, 96×96 gray, a look per speaker.

A mouth is drawn from five numbers per frame (`MouthShape`), as soft-edged ellipses: skin, lips,
the dark inside, teeth at its top, the tongue at its bottom. Nothing is exact: the head drifts, the
light differs, the picture is blurred and noisy, as a crop from a real face is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from mome.scales import VIDEO_FRAMES_PER_SECOND
from mome.speech.mouth import MOUTH_SIZE
from mome.synthesis.phonemes import SILENCE, mouth_shapes, phoneme_class
from mome.synthesis.speech import Phoneme

__all__ = ["Look", "draw_look", "render_mouth"]

_TRACK_RATE = 100  # Hz at which the shape is tracked before it is sampled at the frame rate
_COARTICULATION_S = 0.04  # standard deviation of the smoothing: lips are slower than the phonemes
_FRAMES_AT_ONCE = 8  # drawn together: more would not stay in the processor's own memory
_SLOPPINESS = 0.045  # standard deviation of each number of a shape: nobody forms a sound twice alike


@dataclass(frozen=True)
class Look:
    """What stays the same for a speaker. Brightness is 0..1, lengths are pixels."""

    skin: float
    lips: float
    teeth: float
    mouth_width: float
    lip_thickness: float
    articulation: float  # how far the mouth opens, 1 = as in the tables
    light_x: float  # brightness gradient across the picture
    light_y: float
    blur: float
    noise: float


def draw_look(rng: np.random.Generator) -> Look:
    """Draw the look of a speaker."""
    skin = rng.uniform(0.40, 0.80)
    return Look(
        skin=skin,
        lips=skin * rng.uniform(0.55, 0.80),
        teeth=min(1.0, skin + rng.uniform(0.12, 0.30)),
        mouth_width=rng.uniform(20, 26),
        lip_thickness=rng.uniform(4.0, 7.5),
        articulation=rng.uniform(0.7, 1.1),
        light_x=rng.uniform(-0.15, 0.15),
        light_y=rng.uniform(-0.15, 0.15),
        blur=rng.uniform(0.5, 1.2),
        noise=rng.uniform(0.01, 0.025),
    )


def render_mouth(
    phonemes: Sequence[Phoneme], duration_s: float, look: Look, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Draw the mouth of one sentence.

    Args:
        phonemes: With times; where none is given the mouth rests.
        duration_s: Length of the sentence.
        look: The speaker's.
        rng: Draws how each sound is formed, head movement and camera noise.

    Returns:
        Frames ``(T, 96, 96)``, ``T = round(25 * duration_s)``, at least 1.
    """
    num_frames = max(1, round(duration_s * VIDEO_FRAMES_PER_SECOND))
    shape_TS = _track(phonemes, num_frames, rng)
    shape_TS[:, 0] *= look.articulation
    x, y, zoom = _head(num_frames, rng)
    parts = [slice(start, start + _FRAMES_AT_ONCE) for start in range(0, num_frames, _FRAMES_AT_ONCE)]
    frames = np.concatenate([_draw(shape_TS[part], look, x[part], y[part], zoom[part]) for part in parts])
    frames += np.float32(look.noise) * rng.standard_normal(frames.shape, dtype=np.float32)
    return (frames.clip(0, 1) * 255).astype(np.uint8)


def _track(phonemes: Sequence[Phoneme], num_frames: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the smoothed mouth shape of each frame ``(T, 5)``."""
    num_ticks = num_frames * _TRACK_RATE // VIDEO_FRAMES_PER_SECOND
    rest = mouth_shapes(SILENCE)[0]
    track = np.tile(np.array(_numbers(rest), np.float32), (num_ticks, 1))
    for phoneme in phonemes:
        shapes = mouth_shapes(phoneme_class(phoneme.symbol))
        edges = np.linspace(phoneme.start_s, phoneme.end_s, len(shapes) + 1)
        for shape, start_s, end_s in zip(shapes, edges, edges[1:], strict=False):
            formed = np.clip(_numbers(shape) + rng.normal(0, _SLOPPINESS, 5), 0, 1)
            track[round(start_s * _TRACK_RATE) : round(end_s * _TRACK_RATE)] = formed
    track = gaussian_filter1d(track, _COARTICULATION_S * _TRACK_RATE, axis=0, mode="nearest")
    middle = (np.arange(num_frames) + 0.5) * _TRACK_RATE / VIDEO_FRAMES_PER_SECOND
    return track[middle.astype(int)]


def _numbers(shape: object) -> tuple[float, ...]:
    return tuple(vars(shape).values())


def _head(num_frames: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
    """Return the mouth centre ``x, y`` in pixels and the zoom of each frame, drifting slowly."""
    drift = gaussian_filter1d(rng.normal(0, 1, (3, num_frames)), 12, axis=1, mode="reflect").astype(
        np.float32
    )
    offset = rng.normal(0, 1, (3, 1)).astype(np.float32)
    x = MOUTH_SIZE / 2 + 1.5 * offset[0] + 4 * drift[0]
    y = MOUTH_SIZE / 2 + 1.5 * offset[1] + 4 * drift[1]
    return x, y, 1 + 0.04 * offset[2] + 0.05 * drift[2]


def _draw(
    shape_TS: NDArray[np.float32],
    look: Look,
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    zoom: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Draw some frames at once, brightness 0..1."""
    opening, width, rounding, teeth, tongue = (column[:, None, None] for column in shape_TS.T)
    pixels = np.arange(MOUTH_SIZE, dtype=np.float32)
    across = (pixels[None, None, :] - x[:, None, None]) / zoom[:, None, None]
    down = (pixels[None, :, None] - y[:, None, None]) / zoom[:, None, None]

    half_width = look.mouth_width * (0.70 + 0.45 * width - 0.30 * rounding)
    half_height = 1.0 + 17.0 * opening
    thickness = look.lip_thickness * (1 + 0.35 * rounding)

    inside = _ellipse(across, down, half_width, half_height)
    lips = _ellipse(across, down, half_width + thickness, half_height + thickness)
    light = (
        1
        + look.light_x * (pixels[None, None, :] / MOUTH_SIZE - 0.5)
        + look.light_y * (pixels[None, :, None] / MOUTH_SIZE - 0.5)
    )
    cavity = np.full_like(lips, 0.08)
    upper = _soft(-down - half_height * (0.55 - 0.5 * teeth), 1.5) * teeth
    cavity += (look.teeth - cavity) * upper
    lower = _soft(down - half_height * (0.6 - 0.8 * tongue), 2.0) * np.sqrt(tongue)
    cavity += (0.38 - cavity) * lower
    frames = look.skin + (look.lips - look.skin) * lips
    frames += (cavity - frames) * inside
    return gaussian_filter((frames * light).astype(np.float32), (0, look.blur, look.blur))


def _ellipse(
    across: NDArray[np.float32],
    down: NDArray[np.float32],
    half_width: NDArray[np.float32],
    half_height: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return 1 inside the ellipse and 0 outside, with an edge about two pixels soft."""
    radius = np.sqrt((across / half_width) ** 2 + (down / half_height) ** 2)
    return _soft((1 - radius) * np.minimum(half_width, half_height), 0.8)


def _soft(distance: NDArray[np.float32], softness: float) -> NDArray[np.float32]:
    return 0.5 * (1 + np.tanh(distance / (2 * softness)))
