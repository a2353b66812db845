"""A packed corpus is a few tar files, the same bytes every time."""

import resource
import tarfile

import pytest

from data.archive import file_sums, locate, pack, read_recordings, read_rows
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
    found = list(read_recordings(packed, locate(packed, read_rows(packed))))
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
    located = locate(packed, read_rows(packed))
    assert [content[1:] for content in read_recordings(packed, located)] == [(b"both", b"both")]


def test_packing_twice_gives_the_same_bytes(tmp_path):
    first, second = (_pack(_numbered(30), tmp_path / name) for name in ("a", "b"))
    assert file_sums(first) == file_sums(second)


def test_one_more_utterance_changes_one_shard(tmp_path):
    before, after = (file_sums(_pack(_numbered(n), tmp_path / str(n), 10)) for n in (37, 38))
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert len([name for name in changed if name.endswith(".tar")]) == 1


def test_a_corpus_may_have_more_shards_than_a_process_may_have_open_files(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with (tmp_path / "file").open("w") as file:
        free = file.fileno()  # behind what other tests of this process have left open, as good as all are
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 30, hard))
    try:
        packed = _pack(_numbered(300), tmp_path / "packed", 3)
        found = list(read_recordings(packed, locate(packed, read_rows(packed))))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len({row.shard for row, _, _ in found}) > 60
    assert [audio for _, audio, _ in found] == [b"%d" % i for i in range(300)]


def test_a_shard_has_the_bytes_that_writing_it_in_one_go_gives(tmp_path):
    packed = _pack(_numbered(30), tmp_path / "packed", 10)
    for shard in (packed / "shards").iterdir():
        with (
            tarfile.open(shard) as packed_tar,
            tarfile.open(tmp_path / shard.name, "w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for member in packed_tar:
                tar.addfile(member, packed_tar.extractfile(member))
        assert shard.read_bytes() == (tmp_path / shard.name).read_bytes()


def test_a_folder_without_a_packed_corpus_is_refused(tmp_path):
    with pytest.raises(CorpusError, match=r"no manifest\.csv; expected a packed corpus"):
        read_rows(tmp_path)
    (tmp_path / "manifest.csv").write_text("path,split\n")
    with pytest.raises(CorpusError, match=r"has columns \['path', 'split'\]; expected \['utterance_id'"):
        read_rows(tmp_path)


def test_a_shard_that_lost_a_recording_is_named(tmp_path):
    packed = _pack(_numbered(1), tmp_path / "packed")
    shard = packed / "shards" / "train-00000.tar"
    located = locate(packed, read_rows(packed))
    shard.write_bytes(shard.read_bytes()[:512])
    with pytest.raises(CorpusError, match="cannot read the recording of u0: 0 bytes are left of 1"):
        list(read_recordings(packed, located))
    with tarfile.open(shard, "w"):
        pass
    said = r"train-00000\.tar: cannot read the recording of u0: u0\.audio\.wav is missing"
    with pytest.raises(CorpusError, match=said):
        locate(packed, read_rows(packed))
    shard.unlink()
    with pytest.raises(CorpusError, match=r"train-00000\.tar: .* No such file"):
        locate(packed, read_rows(packed))


def test_a_shard_is_scanned_once_however_its_recordings_are_mixed(tmp_path, monkeypatch):
    packed = _pack(_numbered(60), tmp_path / "packed", 10)
    rows = read_rows(packed)
    assert [row.shard for row in rows] != sorted(row.shard for row in rows)
    opened = []
    plain = tarfile.open
    monkeypatch.setattr(
        tarfile, "open", lambda path, *rest, **more: opened.append(path.name) or plain(path, *rest, **more)
    )
    located = locate(packed, rows)
    assert sorted(opened) == sorted({row.shard for row in rows})
    # Any part of them in any order: no shard is looked through again.
    assert [audio for _, audio, _ in read_recordings(packed, located[::-7])] == [
        b"%d" % i for i in range(60)
    ][::-7]
    assert len(opened) == 6
