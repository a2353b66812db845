"""Lessons: frame labels from planted phonemes, and waveforms that are spoilt as stated."""

import random

import numpy as np
import pytest

from mome.foundation.lessons import frame_labels
from mome.foundation.words import VOCABULARY, draw_sentence
from mome.speech.augmentation import change_speed, spoil
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


def test_spoiling_keeps_length_and_stays_finite() -> None:
    rng = np.random.default_rng(0)
    voices = [rng.normal(0, 0.1, 16_000).astype(np.float32) for _ in range(4)]
    for _ in range(20):
        spoilt = spoil(voices[0], voices[1:], rng)
        assert len(spoilt) == 16_000
        assert np.isfinite(spoilt).all()


def test_sentences_use_words_that_can_be_pronounced() -> None:
    rng = random.Random(0)
    words = {word for _ in range(300) for word in draw_sentence(rng).split()}
    assert words <= set(VOCABULARY)
