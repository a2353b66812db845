"""Joined utterances say in sound and lips what their texts say, with planted recordings that tell."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

from mome.speech.shards import SplitReader
from mome.training.clips import TrainingClips
from mome.training.pieces import Piece, join_sound
from mome.training.splicing import Splices
from mome.training.spoken import Spoken, keep_spoken

# Frames of 20 ms in which each word is found; it is said one frame earlier.
WORDS = [
    [(11, 19), (23, 31), (39, 51)],
    [(7, 15), (15, 27), (31, 41)],
    [(11, 19), (27, 41)],
    [(5, 31)],
    [(5, 31)],
]
LENGTHS = [30, 28, 26, 40, 20]  # video frames
SPEAKERS = ["a", "a", "a", "b", "c"]
TEXTS = ["r0w0 r0w1 r0w2", "r1w0 r1w1 r1w2", "r2w0 r2w1", "r3w0", "r4w0"]


def spoken(words: list[list[tuple[int, int]]] = WORDS) -> Spoken:
    numbers = []
    for spans, length in zip(words, LENGTHS, strict=True):
        words_T = np.full(2 * length, -1)
        for number, (first, end) in enumerate(spans):
            words_T[first:end] = number
        numbers.append(words_T)
    return Spoken(range(len(words)), "", numbers, numbers)


def planted() -> TrainingClips:
    """In word ``w`` recording ``r`` is ``(1 + 10 r + w) / 100`` loud, and its lips are as bright."""
    waveforms, mouths = [], []
    for recording, (words_T, length) in enumerate(zip(spoken().words, LENGTHS, strict=True)):
        level_T = np.roll(np.where(words_T < 0, 0, 1 + 10 * recording + words_T), -1)
        waveforms.append(np.repeat(level_T / 100, 320).astype(np.float32))
        mouths.append(np.broadcast_to(level_T[::2, None, None], (length, 96, 96)).astype(np.uint8))
    reader = SimpleNamespace(
        mouth=mouths.__getitem__, utterances=[SimpleNamespace(num_frames=length) for length in LENGTHS]
    )
    return TrainingClips(waveforms, [], TEXTS, cast(SplitReader, reader))


def splices(share: float, words: list[list[tuple[int, int]]] = WORDS) -> Splices:
    return Splices(spoken(words), TEXTS, SPEAKERS, LENGTHS, share, (20, 40))


def levels(values: np.ndarray) -> list[int]:
    """Return which words there are, in order, each by its level; a moment between two does not count."""
    changes = np.flatnonzero(np.diff(values)) + 1
    runs = np.split(values, changes)
    return [int(run[0]) for run in runs if run[0] and len(run) > 1]


def test_sound_lips_and_text_of_a_joined_utterance_say_the_same() -> None:
    clips, rng = planted(), np.random.default_rng(0)
    texts = set()
    for _ in range(200):
        drawn = splices(0.5).draw(0, rng)
        if drawn is None:
            continue
        pieces, text = drawn
        expected = [1 + 10 * int(word[1]) + int(word[3]) for word in text.split()]
        heard = clips.hear(0, [None], rng, pieces=pieces)
        assert levels(np.rint(100 * heard[::80])) == expected
        seen = clips.watch(0, 88, rng, pieces=pieces)
        assert seen is not None
        assert levels(seen[:, 0, 0].astype(float)) == expected
        assert len(heard) == 640 * len(seen), "sound and lips go on together"
        assert text.startswith("r0w0")
        assert [word[3] for word in text.split()] == [*"012"][: len(expected)], "in the order of a sentence"
        texts.add(text)
    assert {"r0w0 r1w1 r1w2", "r0w0 r0w1 r1w2", "r0w0 r2w1"} <= texts


def test_features_of_lips_that_were_encoded_before_are_joined_as_pictures_are() -> None:
    features = [torch.arange(length)[:, None].half() + 100 * r for r, length in enumerate(LENGTHS)]
    clips = TrainingClips([], features, TEXTS)
    found = clips.see(0, [Piece(0, 0, 3), Piece(2, 24, None)])
    assert found is not None
    assert found[:, 0].tolist() == [0, 1, 2, 224, 225]
    assert found.dtype == torch.float32


@pytest.mark.parametrize("share", [0.2, 0.6])
def test_another_recording_goes_on_before_so_many_words(share: float) -> None:
    drawing, rng = splices(share), np.random.default_rng(1)
    # Of two words that may be another recording's, one piece more for each that is, itself included.
    counts = [1 if (drawn := drawing.draw(0, rng)) is None else len(drawn[0]) for _ in range(4000)]
    # Where the second piece is of the recording with two words, there is no third word to change at.
    expected = share + (1 - share) * share + share * share * 2 / 3
    assert np.mean(counts) - 1 == pytest.approx(expected, abs=0.03)


def test_recordings_stay_whole_where_nothing_can_go_on() -> None:
    rng = np.random.default_rng(2)
    assert all(splices(1.0).draw(3, rng) is None for _ in range(20)), "one word, and nobody else's voice"
    unknown = Spoken([0, 1], "", spoken().classes[:2], spoken().words[:2])
    partly = Splices(unknown, TEXTS, SPEAKERS, LENGTHS, 1.0, (20, 40))
    assert partly.draw(2, rng) is None
    for _ in range(100):
        pieces, _ = partly.draw(0, rng) or ((), "")
        assert {each.recording for each in pieces} <= {0, 1}
    # A word that is shorter than a picture cannot be cut out.
    short = [*WORDS[:1], [(1, 8), (8, 9), (9, 41)], *WORDS[2:]]
    for _ in range(100):
        pieces, _ = splices(1.0, short).draw(0, rng) or ((), "")
        assert 1 not in {each.recording for each in pieces}


def test_none_is_longer_or_shorter_than_the_models_take() -> None:
    rng = np.random.default_rng(3)
    spans = [[(2, 6), (8, 10)], [(40, 46), (48, 58)]]  # an early second word and a late one
    numbers = [np.full(60, -1), np.full(60, -1)]
    for words_T, both in zip(numbers, spans, strict=True):
        for number, (first, end) in enumerate(both):
            words_T[first:end] = number
    drawing = Splices(
        Spoken([0, 1], "", numbers, numbers), ["a b", "c d"], ["s", "s"], [30, 30], 1.0, (11, 49)
    )
    # The start of the first and the end of the second have 10 frames, the other way round 50.
    for index in (0, 1):
        for _ in range(50):
            drawn = drawing.draw(index, rng)
            assert drawn is None or {each.recording for each in drawn[0]} == {index}


def test_one_recording_goes_over_into_the_other_without_a_click() -> None:
    low, high = np.full(6400, -0.5, np.float32), np.full(6400, 0.5, np.float32)
    joined = join_sound([low, high], [Piece(0, 0, 4), Piece(1, 6, None)])
    assert len(joined) == 4 * 640 + 4 * 640
    assert np.abs(np.diff(joined)).max() < 0.01
    assert joined[2560 - 80] == pytest.approx(-0.5, abs=0.01)
    assert joined[2560 + 79] == pytest.approx(0.5, abs=0.01)
    assert (low == -0.5).all(), "what is cut out of it leaves a recording as it is"


def test_the_same_piece_by_piece_is_the_recording() -> None:
    noise = np.random.default_rng(4).normal(size=6400).astype(np.float32)
    joined = join_sound([noise], [Piece(0, 0, 3), Piece(0, 3, 7), Piece(0, 7, None)])
    np.testing.assert_allclose(joined, noise, atol=1e-6)


def test_what_was_found_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["ab ba", "b a", "aab"] * 4
    rng = np.random.default_rng(5)
    clips = TrainingClips([(0.1 * rng.normal(size=16_000)).astype(np.float32) for _ in texts], [], texts)
    found = keep_spoken(tmp_path / "spoken", clips)
    assert found is not None
    monkeypatch.setattr("mome.training.spoken.find_times", lambda *_: pytest.fail("it was found again"))
    again = keep_spoken(tmp_path / "spoken", clips)
    assert again is not None
    assert (again.indices, again.characters) == (found.indices, found.characters)
    for name in ("classes", "words"):
        for one, other in zip(getattr(found, name), getattr(again, name), strict=True):
            np.testing.assert_array_equal(one, other)
    words = [int(words_T.max()) + 1 for words_T in again.words]
    assert words == [len(text.split()) for text in texts]


def test_what_no_sound_tells_is_not_found(tmp_path: Path) -> None:
    assert keep_spoken(tmp_path / "spoken", TrainingClips([], [torch.zeros(25, 4)], ["a b"])) is None
