"""The sound of a split: the same whether it is held in memory or decoded each time."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mome.speech.noise import with_babble
from mome.speech.shards import SplitReader, read_split
from mome.speech.sounds import Sounds


@pytest.fixture
def reader(dataset: Path) -> Iterator[SplitReader]:
    with closing(SplitReader(dataset, "train")) as opened:
        yield opened


@pytest.fixture
def decoded(reader: SplitReader, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The utterances that were decoded, in that order."""
    done: list[int] = []
    plain = reader.sound
    monkeypatch.setattr(reader, "sound", lambda index: done.append(index) or plain(index))
    return done


def test_held_or_not_it_is_the_sound_of_the_shards(dataset: Path, reader: SplitReader) -> None:
    expected = [clip.samples for _, clip in read_split(dataset, "train")]
    for sounds in (Sounds(reader), Sounds(reader, held_h=0)):
        assert len(sounds) == len(expected)
        for found in (
            list(sounds),
            sounds[:],
            [sounds[place - len(expected)] for place in range(len(expected))],
        ):
            assert all(map(np.array_equal, found, expected))
        with pytest.raises(IndexError):
            sounds[len(expected)]


def test_what_is_small_is_decoded_once_and_what_is_large_whenever_it_is_asked_for(
    reader: SplitReader, decoded: list[int]
) -> None:
    small, large = Sounds(reader), Sounds(reader, held_h=0)
    assert (small.is_held, large.is_held) == (True, False)
    assert not decoded, "lengths alone need no decoding"
    small[2], small[2]
    assert decoded == [2]
    large[2], large[2]
    assert decoded == [2, 2, 2]


def test_babble_decodes_only_the_voices_that_it_draws(reader: SplitReader, decoded: list[int]) -> None:
    with_babble(Sounds(reader, held_h=0), 3, 0.0, np.random.default_rng(0))
    assert len(decoded) == 1 + 6
    assert decoded[0] == 3
    assert 3 not in decoded[1:]
