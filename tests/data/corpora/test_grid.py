"""GRID's file names are its sentences."""

from pathlib import Path

import pytest

from data.corpora.grid import decode_name, find_grid, read_grid
from mome.errors import CorpusError


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("bbaf2n", "bin blue at f two now"),
        ("lwbsza", "lay white by s zero again"),
        ("swiz3n", "set white in z three now"),
        ("pgwa9p", "place green with a nine please"),
        ("srib1s", "set red in b one soon"),
    ],
)
def test_a_code_is_decoded_as_the_corpus_documents_it(code, sentence):
    assert decode_name(code) == sentence


@pytest.mark.parametrize("code", ["bbaw2n", "bbaf0n", "xbaf2n", "bbaf2", "bbaf2nn", ""])
def test_what_is_no_code_is_refused(code):
    with pytest.raises(CorpusError, match="no GRID code"):
        decode_name(code)


def _touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def test_one_speaker_is_split_by_sentence_and_promises_nothing(tmp_path):
    folder = _touch(tmp_path / "grid", "bbaf2n.mpg", "lwbsza.mpg", "swiz3n.mpg", "readme.txt")
    corpus = read_grid(folder, find_grid(folder))
    assert sorted(u.split for u in corpus.utterances) == ["test", "train", "validation"]
    assert {u.speaker for u in corpus.utterances} == {"grid"}
    assert not corpus.speaker_disjoint
    assert [u.utterance_id for u in corpus.utterances] == ["grid-bbaf2n", "grid-lwbsza", "grid-swiz3n"]
    assert all(media.audio is media.video for media in corpus.media())


def test_several_speakers_are_split_as_a_whole(tmp_path):
    names = [
        f"s{speaker}/video/{code}.mpg" for speaker in range(1, 13) for code in ("bbaf2n", "lwbsza", "swiz3n")
    ]
    folder = _touch(tmp_path, *names)
    corpus = read_grid(folder, find_grid(folder))
    splits = {
        speaker: {u.split for u in corpus.utterances if u.speaker == speaker}
        for speaker in {u.speaker for u in corpus.utterances}
    }
    assert set(splits) == {f"s{number}" for number in range(1, 13)}
    assert all(len(found) == 1 for found in splits.values())
    assert set().union(*splits.values()) == {"train", "validation", "test"}
    assert corpus.speaker_disjoint


def test_separate_sound_is_paired_with_the_video_of_the_same_speaker(tmp_path):
    folder = _touch(tmp_path, "video/s1/bbaf2n.mpg", "audio/s1/bbaf2n.wav", "video/s2/bbaf2n.mpg")
    corpus = read_grid(folder, find_grid(folder))
    first, second = corpus.media()
    assert (first.audio.content, first.video.content) == (b"audio/s1/bbaf2n.wav", b"video/s1/bbaf2n.mpg")
    assert second.audio is second.video


def test_the_same_sentence_twice_is_refused(tmp_path):
    folder = _touch(tmp_path, "s1/a/bbaf2n.mpg", "s1/b/bbaf2n.mp4")
    with pytest.raises(CorpusError, match="speaker s1 has bbaf2n twice"):
        read_grid(folder, find_grid(folder))
