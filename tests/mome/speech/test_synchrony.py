"""A mouth that moves with the sound agrees with it, another one less, and nothing with a still one."""

import numpy as np
import pytest

from mome.speech.synchrony import agreement


def talking(seed: int, frames: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Return a mouth that flickers as loudly as its noise sounds, in syllables."""
    rng = np.random.default_rng(seed)
    loud = np.interp(np.arange(frames), np.arange(0, frames + 4, 4), rng.random(frames // 4 + 1))
    mouth = 100 + 60 * loud[:, None, None] * rng.standard_normal((frames, 96, 96))
    samples = 0.3 * np.repeat(loud, 640) * rng.standard_normal(640 * frames)
    return mouth.clip(0, 255).astype(np.uint8), samples.astype(np.float32)


@pytest.mark.parametrize("late", [-3, 0, 4])
def test_a_mouth_agrees_with_its_own_sound_though_a_little_apart(late: int) -> None:
    mouth, samples = talking(1)
    _, other = talking(2)
    assert agreement(mouth, np.roll(samples, 640 * late)) > 0.8
    assert agreement(mouth, other) < 0.6


def test_nothing_agrees_with_a_still_mouth_or_with_silence() -> None:
    mouth, samples = talking(1)
    assert agreement(np.repeat(mouth[:1], 100, axis=0), samples) == 0.0
    assert agreement(mouth, np.zeros_like(samples)) == pytest.approx(0.0, abs=1e-6)
    assert agreement(mouth[:5], samples) == 0.0


def test_sound_may_end_before_the_picture() -> None:
    mouth, samples = talking(1)
    assert agreement(mouth, samples[: len(samples) // 2]) <= 1.0
    assert np.isfinite(agreement(mouth, samples[:100]))
