"""Word times from planted features, and an aligner taught on voices whose words' times are known."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from mome.alignment import Aligner
from mome.alignment.head import Head
from mome.alignment.teaching import find_times, solve_heads, spectra
from mome.errors import CheckpointError
from mome.synthesis import plan_corpus, render_all

# Features that say outright what they are: silence, a, b.
PLAIN = Aligner("ab", Head(np.eye(3, dtype=np.float32), np.zeros(3, np.float32)), None)


def heard(sounds: str) -> np.ndarray:
    """Return a frame of 20 ms for each character; ``_`` is silence."""
    return np.eye(3, dtype=np.float32)[["_ab".index(sound) for sound in sounds]]


def test_words_begin_and_end_where_their_characters_do() -> None:
    spans = PLAIN.spans("ab b", heard("__aaab__bbb_"), None)
    assert spans == [pytest.approx((0.04, 0.12)), pytest.approx((0.16, 0.22))]
    assert PLAIN.spans("ab b", heard("abb"), None) == [pytest.approx((0, 0.04)), pytest.approx((0.04, 0.06))]
    assert PLAIN.spans("", heard("__"), None) == []


def test_a_character_that_was_never_heard_may_sound_like_anything() -> None:
    assert PLAIN.spans("a é", heard("_aa_bb_"), None) == [
        pytest.approx((0.02, 0.06)),
        pytest.approx((0.08, 0.12)),
    ]


def test_a_text_too_long_for_its_frames_still_has_times_in_order() -> None:
    spans = PLAIN.spans("ab " * 40, heard("aabb"), None)
    assert len(spans) == 40
    assert all(span.start_s < span.end_s <= 0.08 + 1e-9 for span in spans)
    assert all(a.end_s <= b.start_s + 1e-9 for a, b in itertools.pairwise(spans))


def test_lips_are_asked_where_there_is_no_sound() -> None:
    seen = dataclasses.replace(PLAIN, audio=None, video=PLAIN.audio)
    assert seen.spans("a", None, heard("_aa_")) == [pytest.approx((0.04, 0.12))]  # 40 ms each
    assert (seen.knows("video"), seen.knows("audio"), seen.knows("av")) == (True, False, True)
    with pytest.raises(ValueError, match="other features"):
        seen.spans("a", heard("_aa_"), None)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    # Neither of them lies in memory as it is written.
    head = Head(rng.normal(size=(5, 3)).astype(np.float32).T, np.arange(3, dtype=np.float32))
    Aligner("ab", None, head).save(tmp_path / "a.safetensors")
    loaded = Aligner.load(tmp_path / "a.safetensors")
    assert (loaded.characters, loaded.audio) == ("ab", None)
    assert loaded.video is not None
    np.testing.assert_array_equal(loaded.video.weight_KD, head.weight_KD)
    (tmp_path / "b.safetensors").write_bytes(b"not one")
    with pytest.raises(CheckpointError, match="not an aligner"):
        Aligner.load(tmp_path / "b.safetensors")


def test_times_that_nobody_marked_are_near_those_of_the_synthesis() -> None:
    clips = list(render_all(plan_corpus(160, 0, 10, 7), with_mouths=False))
    sounds = [clip.clip.samples for clip in clips]
    texts = [clip.utterance.transcript for clip in clips]
    taught, held_out = clips[:160], clips[160:]
    characters = "".join(sorted(set("".join(texts[:160])) - {" "}))

    times = find_times(sounds, texts, characters, taught=160)
    classes = [each.classes for each in times[:160]]
    aligner = solve_heads(characters, classes, lambda part: [(spectra(sounds[i]), None) for i in part])

    assert [len(each.classes) for each in times] == [len(samples) // 320 for samples in sounds]
    for each, text in zip(times, texts, strict=True):
        # Word by word the characters of the text, and silence where there is no word.
        said = ["".join(characters[c - 1] for c in each.classes[each.words == n]) for n in range(6)]
        spelt = ["".join(letter for letter, _ in itertools.groupby(word)) for word in said]
        assert spelt == ["".join(k for k, _ in itertools.groupby(word)) for word in text.split()]
        assert ((each.words == -1) == (each.classes == 0)).all()
    assert len(taught) == 160
    wrong, even, found = [], [], []
    for clip, each in zip(held_out, times[160:], strict=True):
        true = np.array([(word.start_s, word.end_s) for word in clip.words])
        spans = aligner.spans(clip.utterance.transcript, spectra(clip.clip.samples), None)
        wrong.append(np.abs(np.array(spans) - true))
        frames = [np.flatnonzero(each.words == number)[[0, -1]] + [0, 1] for number in range(len(true))]
        found.append(np.abs(np.array(frames) / 50 - true))
        edges = np.linspace(0, clip.clip.duration_s, len(true) + 1)
        even.append(np.abs(np.stack([edges[:-1], edges[1:]], axis=1) - true))
    # These sentences are few; with four hundred it is below a twentieth of a second.
    assert np.mean(wrong) < 0.08
    assert np.mean(found) < 0.08
    assert np.mean(wrong) < np.mean(even) / 2
