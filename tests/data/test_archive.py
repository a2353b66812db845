"""A packed corpus is a few tar files, the same bytes every time."""

import tarfile

import pytest

from data.archive import file_sums, pack, read_recordings, read_rows
from data.corpora.manifest import read_manifest_corpus
from data.corpora.raw import Corpus, MediaFile, RawMedia, RawUtterance
from mome.errors import CorpusError


def _pack(corpus, folder, per_shard=4):
    folder.mkdir()
    pack(corpus, folder, per_shard)
    return folder


def _numbered(count):
    utterances = [RawUtterance(f"u{i}", "train", "ann", "one") for i in range(count)]
    return Corpus(
        "n", False, "k", utterances, lambda: (RawMedia(MediaFile(".wav", b"%d" % i)) for i in range(count))
    )


def test_what_was_packed_comes_out_again(tmp_path, make_corpus):
    rows = make_corpus(tmp_path / "raw")
    packed = _pack(read_manifest_corpus(tmp_path / "raw" / "manifest.csv"), tmp_path / "packed")
    found = list(read_recordings(packed, read_rows(packed)))
    assert [(row.transcript, row.speaker, row.split) for row, _, _ in found] == [
        (row["transcript"], row["speaker"], row["split"]) for row in rows
    ]
    assert [audio for _, audio, _ in found] == [(tmp_path / "raw" / row["path"]).read_bytes() for row in rows]
    assert all(video is None for _, _, video in found)


def test_one_file_with_sound_and_video_is_stored_once(tmp_path):
    media = MediaFile(".mp4", b"both")
    corpus = Corpus(
        "v", False, "k", [RawUtterance("u", "test", "ann", "")], lambda: iter([RawMedia(media, media)])
    )
    packed = _pack(corpus, tmp_path / "packed")
    with tarfile.open(packed / "shards" / "test-00000.tar") as tar:
        assert tar.getnames() == ["u.audio.mp4"]
    assert [content[1:] for content in read_recordings(packed, read_rows(packed))] == [(b"both", b"both")]


def test_packing_twice_gives_the_same_bytes(tmp_path):
    first, second = (_pack(_numbered(30), tmp_path / name) for name in ("a", "b"))
    assert file_sums(first) == file_sums(second)


def test_one_more_utterance_changes_one_shard(tmp_path):
    before, after = (file_sums(_pack(_numbered(n), tmp_path / str(n), 10)) for n in (37, 38))
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert len([name for name in changed if name.endswith(".tar")]) == 1


def test_a_folder_without_a_packed_corpus_is_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"no manifest\.csv; expected a packed corpus"):
        read_rows(tmp_path)
    (tmp_path / "manifest.csv").write_text("path,split\n")
    with pytest.raises(CorpusError, match=r"has columns \['path', 'split'\]; expected \['utterance_id'"):
        read_rows(tmp_path)


def test_a_shard_that_lost_a_recording_is_named(tmp_path):
    packed = _pack(_numbered(1), tmp_path / "packed")
    shard = packed / "shards" / "train-00000.tar"
    with tarfile.open(shard, "w"):
        pass
    with pytest.raises(CorpusError, match=r"train-00000\.tar: cannot read the recording of u0"):
        list(read_recordings(packed, read_rows(packed)))
