"""Sentences of connected digits, built so that nothing of the test is heard in training."""

import io
import re
from collections import Counter
from itertools import groupby

import numpy as np
import pytest
import soundfile

from data.corpora.fsdd import find_fsdd, read_fsdd
from mome.errors import CorpusError

RATE = 8000
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def _record(folder, speakers, indices, digits=range(10), rate=RATE):
    """Write recordings whose every sample says which one it is."""
    folder.mkdir(exist_ok=True)
    levels = {}
    for speaker in speakers:
        for digit in digits:
            for index in indices:
                path = folder / f"{digit}_{speaker}_{index}.wav"
                level = 1000 + len(levels)
                levels[level] = path.name
                soundfile.write(path, np.full(400 + 10 * digit, level, np.int16), rate)
    return levels


def _recordings(media, levels):
    """Return the recordings that a sentence is made of, from its samples alone."""
    samples, rate = soundfile.read(io.BytesIO(media.audio.content), dtype="int16")
    return [name for name, _ in groupby(levels[level] for level in samples.tolist() if level in levels)], rate


def test_test_recordings_are_never_in_training_and_words_match_the_sound(tmp_path, prepare_params):
    levels = _record(tmp_path, ["ann", "bob"], range(12))
    params = prepare_params.model_copy(update={"train_utterances": 60, "test_utterances": 30})
    corpus = read_fsdd(tmp_path, find_fsdd(tmp_path), params)
    assert Counter(u.split for u in corpus.utterances) == {"train": 60, "validation": 2, "test": 30}
    used = {"train": set(), "validation": set(), "test": set()}
    for utterance, media in zip(corpus.utterances, corpus.media(), strict=True):
        names, rate = _recordings(media, levels)
        assert rate == RATE
        assert {name.split("_")[1] for name in names} == {utterance.speaker}
        words = utterance.transcript.split()
        assert 3 <= len(words) <= 6
        # One recording twice in a row looks like one here, so equal neighbours count once.
        assert [k for k, _ in groupby(WORDS[int(name[0])] for name in names)] == [
            k for k, _ in groupby(words)
        ]
        used[utterance.split] |= set(names)
    index = {
        split: {int(name.split("_")[2].removesuffix(".wav")) for name in names}
        for split, names in used.items()
    }
    assert index["test"] <= set(range(5))
    assert index["validation"] <= {5, 6, 7}
    assert index["train"] <= set(range(8, 12))
    assert not corpus.speaker_disjoint


def test_the_same_seed_gives_the_same_sentences(tmp_path, prepare_params):
    _record(tmp_path, ["ann"], range(9))
    first, again = (read_fsdd(tmp_path, find_fsdd(tmp_path), prepare_params) for _ in range(2))
    assert first.utterances == again.utterances
    assert [m.audio.content for m in first.media()] == [m.audio.content for m in again.media()]
    other = read_fsdd(tmp_path, find_fsdd(tmp_path), prepare_params.model_copy(update={"seed": 2}))
    assert [u.transcript for u in other.utterances] != [u.transcript for u in first.utterances]


def test_speakers_take_turns(tmp_path, prepare_params):
    _record(tmp_path, ["ann", "bob", "cleo"], range(9))
    corpus = read_fsdd(tmp_path, find_fsdd(tmp_path), prepare_params)
    assert Counter(u.speaker for u in corpus.utterances if u.split == "train") == {
        "ann": 2,
        "bob": 2,
        "cleo": 2,
    }


def test_recordings_numbered_otherwise_are_split_all_the_same(tmp_path, prepare_params):
    levels = _record(tmp_path, ["zoe"], range(100, 112), digits=range(3))
    corpus = read_fsdd(tmp_path, find_fsdd(tmp_path), prepare_params)
    used = {"train": set(), "validation": set(), "test": set()}
    for utterance, media in zip(corpus.utterances, corpus.media(), strict=True):
        used[utterance.split] |= set(_recordings(media, levels)[0])
    assert used["train"]
    assert not used["train"] & used["test"]
    assert not used["train"] & used["validation"]
    assert not used["validation"] & used["test"]


def test_too_few_recordings_for_three_splits_are_refused(tmp_path, prepare_params):
    _record(tmp_path, ["ann"], [0, 1])
    with pytest.raises(
        CorpusError, match="no recording is left for split validation; found only 20 recordings"
    ):
        read_fsdd(tmp_path, find_fsdd(tmp_path), prepare_params)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"no sound at all", "cannot be decoded"),
        ("truncated", "promises more than it holds"),
        ("silent", "only silence"),
        ("nan", "no numbers"),
        ("rate", r"(8000|16000) Hz, but \d_ann_8.wav by the same speaker: (8000|16000) Hz"),
    ],
)
def test_a_broken_recording_is_a_problem_of_every_sentence_with_it(
    tmp_path, prepare_params, content, problem
):
    _record(tmp_path, ["ann"], range(9))
    broken = [path for path in find_fsdd(tmp_path) if path.stem.startswith("7_") and path.stem[-1] == "8"]
    for path in broken:
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content == "truncated":
            path.write_bytes(path.read_bytes()[:-200])
        elif content == "silent":
            soundfile.write(path, np.zeros(400, np.int16), RATE)
        elif content == "nan":
            soundfile.write(path, np.full(400, np.nan, np.float32), RATE, subtype="FLOAT")
        else:
            soundfile.write(path, np.full(400, 2000, np.int16), 16000)
    params = prepare_params.model_copy(update={"train_utterances": 20})
    corpus = read_fsdd(tmp_path, find_fsdd(tmp_path), params)
    for utterance, media in zip(corpus.utterances, corpus.media(), strict=True):
        hit = utterance.split == "train" and "seven" in utterance.transcript
        assert bool(media.problem) == hit
        assert (media.audio is None) == hit
        assert not hit or re.search(problem, media.problem)
        assert not hit or ".wav" in media.problem


def test_other_files_are_left_alone(tmp_path):
    _record(tmp_path, ["ann"], [0], digits=[1])
    for name in ("readme.txt", "ann.wav", "12_ann_0.wav", "1_ann_0.flac"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in find_fsdd(tmp_path)] == ["1_ann_0.wav"]
