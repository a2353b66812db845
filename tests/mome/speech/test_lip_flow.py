"""The flow of lips is the planted one, in any light."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from mome.speech.lip_flow import NUM_FLOWS, PICTURE_SIZE, flow_of, lip_flow


def moving(right: float, down: float, frames: int = 6) -> np.ndarray:
    """Return a texture that moves by so many pixels a frame."""
    texture = gaussian_filter(np.random.default_rng(1).standard_normal((64, 64)), 3) * 500 + 120
    moved = [shift(texture, (down * t, right * t), order=3)[16:48, 16:48] for t in range(frames)]
    return np.stack(moved).astype(np.float32)


def inner(flow: np.ndarray) -> np.ndarray:
    """Return right and down ``(T, 2)`` away from borders and ends, in pixels a frame."""
    places = flow.reshape(len(flow), 3, 8, 8)[1:-1, :2, 2:-2, 2:-2]
    return np.median(places, axis=(2, 3)) / 3


@pytest.mark.parametrize(("right", "down"), [(0.5, 0.0), (0.0, -0.4), (-0.3, 0.6)])
def test_a_texture_moves_as_it_was_moved(right: float, down: float) -> None:
    flow = flow_of(moving(right, down))
    assert flow.shape == (6, NUM_FLOWS)
    # Places without contrast are held back, so a little less than all of it is seen.
    np.testing.assert_allclose(inner(flow), np.tile([right, down], (4, 1)), atol=0.12)


def test_neither_brightness_nor_contrast_counts_nor_what_is_light_and_what_dark() -> None:
    pictures = moving(0.3, 0.2)
    flow = flow_of(pictures)
    np.testing.assert_allclose(flow_of(0.4 * pictures + 30), flow, atol=1e-3)
    np.testing.assert_allclose(flow_of(255 - pictures), flow, atol=1e-3)


def test_what_stands_still_does_not_move() -> None:
    still = np.repeat(moving(0, 0, 1), 5, axis=0)
    assert not flow_of(still).any()
    assert not flow_of(np.zeros((5, PICTURE_SIZE, PICTURE_SIZE), np.float32)).any()


def test_the_crop_is_seen_at_half_its_size() -> None:
    rng = np.random.default_rng(2)
    mouth = rng.integers(0, 256, (4, 96, 96)).astype(np.uint8)
    halves = np.array(
        [
            [
                [image[20 + 2 * y : 22 + 2 * y, 16 + 2 * x : 18 + 2 * x].mean() for x in range(PICTURE_SIZE)]
                for y in range(PICTURE_SIZE)
            ]
            for image in mouth
        ]
    )
    np.testing.assert_allclose(lip_flow(mouth), flow_of(halves.astype(np.float32)), atol=1e-3)
