"""Noise: mixed at the stated level, from where it is said to come."""

import numpy as np
import pytest

from mome.errors import MediaError
from mome.speech.noise import babble, mix_at_snr, with_babble


@pytest.mark.parametrize("snr_db", [10.0, 0.0, -5.0])
def test_a_mix_has_the_stated_ratio_of_powers(snr_db: float) -> None:
    rng = np.random.default_rng(0)
    speech = rng.laplace(scale=0.01, size=16000).astype(np.float32)
    noise = rng.normal(size=16000).astype(np.float32)
    added = mix_at_snr(speech, noise, snr_db).astype(np.float64) - speech
    ratio = np.sum(speech.astype(np.float64) ** 2) / np.sum(added**2)
    assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.01)


def test_zero_decibels_is_noise_and_none_is_clean() -> None:
    speech, noise = np.full(100, 0.1, np.float32), np.ones(100, np.float32)
    np.testing.assert_allclose(mix_at_snr(speech, noise, 0.0), 0.2, rtol=1e-6)
    assert mix_at_snr(speech, noise, None) is speech


def test_a_loud_mix_is_turned_down_whole() -> None:
    rng = np.random.default_rng(0)
    speech, noise = rng.uniform(-1, 1, (2, 16000)).astype(np.float32)
    mixed = mix_at_snr(speech, noise, -5.0)
    assert np.abs(mixed).max() == pytest.approx(1.0)
    # Two unknown gains explain the mix: their ratio is the stated one.
    gains, residual, *_ = np.linalg.lstsq(np.stack([speech, noise], axis=1), mixed, rcond=None)
    ratio = gains[0] ** 2 * np.square(speech).sum() / (gains[1] ** 2 * np.square(noise).sum())
    assert residual[0] < 1e-6
    assert 10 * np.log10(ratio) == pytest.approx(-5.0, abs=0.05)


def test_silence_and_unequal_lengths_cannot_be_mixed() -> None:
    one, silence = np.ones(10, np.float32), np.zeros(10, np.float32)
    with pytest.raises(MediaError, match="silent"):
        mix_at_snr(one, silence, 0.0)
    with pytest.raises(MediaError, match="10 and 9"):
        mix_at_snr(one, one[:9], 0.0)


def test_babble_holds_every_talker_equally_loud() -> None:
    length = 16000
    moments = np.arange(length)
    voices = [
        (level * np.sin(2 * np.pi * hz * moments / 16000)).astype(np.float32)
        for hz, level in ((200, 1.0), (500, 0.01), (900, 0.1))
    ]
    mixed = babble(voices, 32000, np.random.default_rng(2), talkers=30)
    assert mixed.shape == (32000,)
    power = np.abs(np.fft.rfft(mixed)) ** 2
    levels = [power[hz * 2 - 4 : hz * 2 + 5].sum() for hz in (200, 500, 900)]
    assert max(levels) / min(levels) < 30  # random phases, but not the 10,000 of the recordings


def test_babble_is_the_same_for_the_same_draw_and_has_no_pause() -> None:
    voices = [np.random.default_rng(seed).normal(size=3000).astype(np.float32) for seed in range(3)]
    once = babble(voices, 20000, np.random.default_rng(1))
    np.testing.assert_array_equal(once, babble(voices, 20000, np.random.default_rng(1)))
    assert once.reshape(-1, 500).std(axis=1).min() > 0.1


def test_babble_needs_a_voice() -> None:
    with pytest.raises(MediaError, match="audible"):
        babble([np.zeros(100, np.float32)], 100, np.random.default_rng(0))


def tones(count: int) -> list[np.ndarray]:
    time_s = np.arange(16_000) / 16_000
    return [0.1 * np.sin(2 * np.pi * 200 * (i + 1) * time_s).astype(np.float32) for i in range(count)]


@pytest.mark.parametrize("snr_db", [10.0, 0.0, -5.0])
def test_the_babble_has_the_stated_ratio(snr_db: float) -> None:
    voices = tones(4)
    mixed = with_babble(voices, 0, snr_db, np.random.default_rng(0))
    # The speech is a tone whose frequency no other voice has: its part of the mix can be read off.
    basis = voices[0] / np.linalg.norm(voices[0])
    speech = (mixed @ basis) * basis
    measured = 10 * np.log10((speech**2).sum() / ((mixed - speech) ** 2).sum())
    assert measured == pytest.approx(snr_db, abs=0.05)


def test_clean_means_untouched_and_zero_is_a_level() -> None:
    voices = tones(3)
    np.testing.assert_array_equal(with_babble(voices, 0, None, np.random.default_rng(0)), voices[0])
    assert not np.array_equal(with_babble(voices, 0, 0.0, np.random.default_rng(0)), voices[0])
