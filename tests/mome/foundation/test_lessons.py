"""Lessons: frame labels from planted phonemes, and waveforms that are spoilt as stated."""

import random

import numpy as np
import pytest

from mome.foundation.lessons import frame_labels
from mome.foundation.words import VOCABULARY, draw_sentence
from mome.speech.augmentation import change_speed, colour, spoil
from mome.synthesis.phonemes import PHONEMES
from mome.synthesis.speech import Phoneme


def test_a_frame_is_labelled_by_the_phoneme_at_its_middle() -> None:
    labels = frame_labels([Phoneme("b", 0.02, 0.05), Phoneme("I", 0.05, 0.11)], 6, 50)
    # Middles at 0.01, 0.03, 0.05, 0.07, 0.09 and 0.11 s; the end of a phoneme is not in it.
    assert [PHONEMES[label] for label in labels] == ["_", "b", "I", "I", "I", "_"]


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_tone_played_faster_is_higher_and_shorter(factor: float) -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000).astype(np.float32)
    changed = change_speed(tone, factor)
    assert len(changed) == round(16_000 / factor)
    peak_hz = np.abs(np.fft.rfft(changed)).argmax() * 16_000 / len(changed)
    assert peak_hz == pytest.approx(440 * factor, abs=2)


@pytest.mark.parametrize("length", [16_000, 16_007])  # the second is a prime number
def test_each_band_of_a_coloured_sound_has_its_gain_whatever_its_length(length: int) -> None:
    time_s = np.arange(length) / 16_000
    hertz = np.array([250, 500, 1000, 2000, 6000])
    for seed in range(6):
        gains_db, is_telephone = _drawn(seed)
        coloured = colour(
            np.sin(2 * np.pi * hertz[:, None] * time_s).sum(0).astype(np.float32), np.random.default_rng(seed)
        )
        assert len(coloured) == length
        # Away from the ends, where a sound that begins suddenly has all frequencies.
        inside = slice(4000, 12_000)
        found = [2 * abs(np.mean(coloured[inside] * np.exp(2j * np.pi * f * time_s[inside]))) for f in hertz]
        # At the corners; 6 kHz lies halfway between the last two.
        expected_db = [*gains_db[1:5], gains_db[5:7].mean() - 60 * is_telephone]
        np.testing.assert_allclose(20 * np.log10(found), expected_db, atol=1 if is_telephone else 0.1)


def _drawn(seed: int) -> tuple[np.ndarray, bool]:
    """Return what `colour` draws first."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 4, 7), rng.random() < 0.4


@pytest.mark.parametrize("length", [16_000, 16_007])
def test_spoiling_keeps_length_and_stays_finite(length: int) -> None:
    rng = np.random.default_rng(0)
    voices = [rng.normal(0, 0.1, length).astype(np.float32) for _ in range(4)]
    for _ in range(20):
        spoilt = spoil(voices[0], voices[1:], rng)
        assert len(spoilt) == length
        assert np.isfinite(spoilt).all()


def test_sentences_use_words_that_can_be_pronounced() -> None:
    rng = random.Random(0)
    words = {word for _ in range(300) for word in draw_sentence(rng).split()}
    assert words <= set(VOCABULARY)
