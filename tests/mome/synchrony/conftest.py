"""Clips of which it is known how lips go with sound."""

from collections.abc import Callable

import numpy as np
import pytest

from mome.speech.media import Clip


@pytest.fixture(scope="session")
def flickering() -> Callable[[int, int], Clip]:
    """Return a maker of mouths that flicker where their noise sounds, by seed and number of frames."""

    def make(seed: int, frames: int) -> Clip:
        rng = np.random.default_rng(seed)
        loud = np.repeat(rng.random(frames // 5), 5)
        mouth = 120 + 60 * loud[:, None, None] * rng.standard_normal((frames, 96, 96))
        samples = np.repeat(loud, 640) * rng.standard_normal(640 * frames) * 0.1
        return Clip(samples.astype(np.float32), mouth.clip(0, 255).astype(np.uint8))

    return make
