"""Synthetic voices say other sentences of the words of the corpus, the same ones every time."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mome.errors import TrainingError
from mome.synthesis import SyntheticUtterance, render_all
from mome.synthesis.speakers import speakers
from mome.training.voices import joined_texts, keep_voices

TEXTS = ["bin blue at a now", "set red by b soon", "lay green in c", "place white"]
BOUNDS = (10, 500)


def test_each_word_is_said_where_some_text_has_it() -> None:
    rng = np.random.default_rng(0)
    known = [
        set(words) - {""} for words in zip(*(f"{text}    ".split(" ")[:5] for text in TEXTS), strict=True)
    ]
    texts = joined_texts(TEXTS, 500, 1.0, rng)
    for text in texts:
        assert all(word in known[place] for place, word in enumerate(text.split()))
    assert len(set(texts)) > 50, "of so few texts"
    assert {text.split()[-1] for text in texts} == {"now", "soon", "c", "white"}, "each ends where one ends"


def test_joined_before_no_word_they_are_the_texts_of_the_corpus() -> None:
    rng = np.random.default_rng(1)
    counts = Counter(joined_texts([*TEXTS, "", " "], 400, 0.0, rng))
    assert counts.keys() == set(TEXTS)
    assert min(counts.values()) > 60


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_another_text_goes_on_before_so_many_words(share: float) -> None:
    rng = np.random.default_rng(2)
    apart = [" ".join(f"r{text}w{word}" for word in range(6)) for text in range(50)]
    changes = [
        one[: one.index("w")] != other[: other.index("w")]
        for words in (text.split() for text in joined_texts(apart, 2000, share, rng))
        for one, other in pairwise(words)
    ]
    assert np.mean(changes) == pytest.approx(share * 49 / 50, abs=0.02)


def test_they_are_the_same_every_time_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    voices = keep_voices(tmp_path / "one", TEXTS, BOUNDS, seed=3)
    assert len(voices.ends) == len(voices.transcripts) == 4 * len(TEXTS)
    keep_voices(tmp_path / "two", TEXTS, BOUNDS, seed=3)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    monkeypatch.setattr("mome.training.voices.render_all", lambda *_, **__: pytest.fail("they spoke again"))
    again = keep_voices(tmp_path / "one", TEXTS, BOUNDS, seed=3)
    np.testing.assert_array_equal(again.samples, voices.samples)
    assert again.transcripts == voices.transcripts


def test_what_is_drawn_is_one_sentence_as_it_was_spoken(tmp_path: Path) -> None:
    voices = keep_voices(tmp_path / "voices", TEXTS, BOUNDS, seed=4)
    rng = np.random.default_rng(5)
    drawn: dict[int, str] = {}
    for _ in range(200):
        samples_N, text = voices.draw(rng)
        assert 0.25 < np.abs(samples_N).max() < 1.0
        assert np.abs(samples_N[:800]).max() < 0.02, (
            "nobody speaks at once, and no sentence begins in another"
        )
        drawn[len(samples_N)] = text
    lengths = np.diff(voices.ends, prepend=0).tolist()
    assert drawn == dict(zip(lengths, voices.transcripts, strict=True))


def test_none_is_longer_or_shorter_than_the_bounds(tmp_path: Path) -> None:
    some = keep_voices(tmp_path / "some", TEXTS, (45, 60), seed=6)
    lengths = np.diff(some.ends, prepend=0) / 640
    assert 0 < len(lengths) < 4 * len(TEXTS)
    assert lengths.min() >= 45
    assert lengths.max() <= 60
    with pytest.raises(TrainingError, match=r"set train\.synthetic_voices to 0"):
        keep_voices(tmp_path / "none", TEXTS, (1, 5), seed=6)


def test_without_mouths_they_sound_the_same() -> None:
    speaker = speakers("train")[3]
    plan = [SyntheticUtterance("one", "train", speaker, text, 7) for text in TEXTS[:2]]
    seen, heard = (list(render_all(plan, 1, with_mouths=with_mouths)) for with_mouths in (True, False))
    for one, other in zip(seen, heard, strict=True):
        assert one.clip.mouth is not None
        assert other.clip.mouth is None
        np.testing.assert_array_equal(one.clip.samples, other.clip.samples)
