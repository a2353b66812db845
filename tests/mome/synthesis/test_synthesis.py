"""Synthetic speakers: repeatable, split cleanly, and their lips follow their phonemes."""

import numpy as np
import pytest

from mome.synthesis import plan_corpus, render_all
from mome.synthesis.face import draw_look, render_mouth
from mome.synthesis.grammar import GRID
from mome.synthesis.phonemes import PHONEMES, mouth_shapes, phoneme_class
from mome.synthesis.speakers import speakers
from mome.synthesis.speech import Phoneme, Voice, speak


def test_no_voice_of_one_split_is_heard_in_another() -> None:
    voices = {split: {s.voice.variant for s in speakers(split)} for split in ("train", "validation", "test")}
    assert not voices["train"] & voices["test"]
    assert not voices["train"] & voices["validation"]
    assert not voices["validation"] & voices["test"]


def test_the_same_plan_renders_to_the_same_samples() -> None:
    plan = plan_corpus(4, 1, 1, seed=3)
    first, second = list(render_all(plan)), list(render_all(plan, processes=1))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.clip.samples, other.clip.samples)
        np.testing.assert_array_equal(one.clip.mouth, other.clip.mouth)


def test_every_sentence_follows_the_grammar_and_every_frame_has_its_samples() -> None:
    for rendered in render_all(plan_corpus(6, 1, 1, seed=5)):
        words = rendered.utterance.transcript.split()
        assert all(word in choices for word, choices in zip(words, GRID, strict=True))
        assert len(rendered.clip.samples) == 640 * len(rendered.clip.mouth)


def test_phonemes_fill_the_sentence_in_order() -> None:
    spoken = speak("bin blue at f two now", Voice("gmw/en-US", "m3"))
    symbols = [phoneme_class(phoneme.symbol) for phoneme in spoken.phonemes]
    assert symbols[:5] == ["b", "I", "n", "b", "l"]
    for before, after in zip(spoken.phonemes, spoken.phonemes[1:], strict=False):
        assert before.end_s == pytest.approx(after.start_s)


def test_every_letter_has_a_name_of_its_own() -> None:
    names = {}
    for letter in GRID[3]:
        spoken = speak(f"at {letter} two", Voice("gmw/en-US", "m3"))
        names[letter] = tuple(phoneme.symbol for phoneme in spoken.phonemes)
    assert len(set(names.values())) == 25


def test_every_mnemonic_of_the_vocabulary_has_a_class_and_a_mouth() -> None:
    text = " ".join(word for words in GRID for word in words)
    for accent in sorted({speaker.voice.accent for speaker in speakers("train")}):
        for phoneme in speak(text, Voice(accent, "f2")).phonemes:
            assert phoneme_class(phoneme.symbol) in PHONEMES
            assert (phoneme_class(phoneme.symbol) == "_") == (phoneme.symbol == "_")


def test_phonemes_of_one_viseme_look_alike_and_others_do_not() -> None:
    assert mouth_shapes("p") == mouth_shapes("b") == mouth_shapes("m")
    assert mouth_shapes("f") != mouth_shapes("p")


def test_an_open_vowel_shows_more_darkness_than_closed_lips() -> None:
    rng = np.random.default_rng(0)
    look = draw_look(rng)
    phonemes = [Phoneme("m", 0.0, 0.5), Phoneme("A", 0.5, 1.0)]
    frames = render_mouth(phonemes, 1.0, look, rng)
    dark = (frames < 60).sum(axis=(1, 2))
    assert frames.shape == (25, 96, 96)
    assert dark[18] > dark[6] + 200


def test_an_accent_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no voice gmw/nowhere"):
        speak("hello", Voice("gmw/nowhere", "m1"))
