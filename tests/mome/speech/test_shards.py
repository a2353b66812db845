"""Shards: the same bytes every time, the same clips back, and damage named."""

import hashlib
import tarfile
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import webdataset

from mome.errors import CorpusError, MediaError
from mome.records import Utterance
from mome.speech.media import Clip
from mome.speech.shards import SplitReader, read_manifest, read_split, shard_sum, write_manifest, write_shard
from tests import planted


def utterance(name: str, split: str, clip: Clip, shard: str = "a.tar", **changed: object) -> Utterance:
    return planted.utterance(name, split, clip, shard=shard, **changed)


def clip(seed: int, sound: bool = True, mouth: bool = True) -> Clip:
    rng = np.random.default_rng(seed)
    samples = rng.uniform(-0.5, 0.5, 8000).astype(np.float32)
    frames = np.full((12, 96, 96), 60 + 10 * seed, np.uint8)
    return Clip(samples if sound else None, frames if mouth else None)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two shards, whose utterances take turns in the manifest."""
    clips = {"c": clip(0), "a": clip(1, mouth=False), "b": clip(2, sound=False), "d": clip(3)}
    rows = [
        utterance("c", "train", clips["c"]),
        utterance("d", "train", clips["d"], shard="b.tar"),
        utterance("a", "train", clips["a"]),
        utterance("b", "test", clips["b"]),
        utterance("x", "train", clips["a"], shard="", decodable=False, problem="cannot be decoded"),
    ]
    write_manifest(tmp_path, rows)
    for shard in ("a.tar", "b.tar"):
        pairs = [(row, clips[row.utterance_id]) for row in rows if row.shard == shard]
        write_shard(tmp_path / "shards" / shard, pairs)
    return tmp_path


def test_a_split_comes_back_in_manifest_order(dataset: Path) -> None:
    read = list(read_split(dataset, "train"))
    assert [row.utterance_id for row, _ in read] == ["c", "d", "a"]
    assert [loaded.modality for _, loaded in read] == ["av", "av", "audio"]
    for (_, loaded), original in zip(read, (clip(0), clip(3), clip(1, mouth=False)), strict=True):
        expected = original.samples
        if original.mouth is not None:
            expected = expected[: 12 * 640]  # as long as the lips
            assert np.abs(loaded.mouth.astype(int) - original.mouth).max() <= 2
        np.testing.assert_allclose(loaded.samples, expected, atol=0.5 / 32768)
    assert [loaded.modality for _, loaded in read_split(dataset, "test")] == ["video"]
    assert list(read_split(dataset, "validation")) == []


def test_the_manifest_comes_back_as_it_was(tmp_path: Path) -> None:
    rows = [utterance("é-1", "train", clip(0)), utterance("b", "test", clip(1))]
    write_manifest(tmp_path, rows)
    assert read_manifest(tmp_path) == rows
    write_manifest(tmp_path, [])
    assert read_manifest(tmp_path) == []


def test_a_shard_has_the_same_bytes_in_any_order_and_at_any_time(tmp_path: Path) -> None:
    pairs = [(utterance(str(seed), "train", clip(seed)), clip(seed)) for seed in range(3)]
    write_shard(tmp_path / "one.tar", pairs)
    write_shard(tmp_path / "two.tar", pairs[::-1])
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as tar:
        infos = tar.getmembers()
    assert [info.name for info in infos] == ["0.flac", "0.mp4", "1.flac", "1.mp4", "2.flac", "2.mp4"]
    assert {(info.mtime, info.uid, info.gid, info.uname, info.gname) for info in infos} == {(0, 0, 0, "", "")}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves the file open
def test_webdataset_reads_each_clip_as_one_sample(tmp_path: Path) -> None:
    names = ["2024.01.05-a", "2024.01.06-a", "50%", "50%2E", "é 1"]
    rows = [utterance(name, "train", clip(seed)) for seed, name in enumerate(names)]
    write_manifest(tmp_path, rows)
    write_shard(tmp_path / "shards" / "a.tar", zip(rows, map(clip, range(5)), strict=True))
    with closing(SplitReader(tmp_path, "train")) as reader:
        stored = [reader.stored(index) for index in range(5)]

    samples = list(webdataset.WebDataset(str(tmp_path / "shards" / "a.tar"), shardshuffle=False))

    keys = {unquote(Path(sample["__key__"]).name): sample for sample in samples}
    assert sorted(keys) == sorted(names)
    for name, content in zip(names, stored, strict=True):
        assert content == {f"{name}.{ending}": keys[name][ending] for ending in ("flac", "mp4")}


def test_ids_with_dots_are_found_in_a_shard_of_before(tmp_path: Path) -> None:
    row = utterance("2024.01.05-a", "train", clip(0))
    write_manifest(tmp_path, [row])
    write_shard(tmp_path / "shards" / "a.tar", [(row, clip(0))])
    path = tmp_path / "shards" / "a.tar"
    with tarfile.open(path) as tar:
        members = {info.name.replace("%2E", "."): (info, tar.extractfile(info)) for info in tar.getmembers()}
        sums = {name: info.pax_headers["MOME.sha256"] for name, (info, _) in members.items()}
        listed = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
        about = {"MOME.content": hashlib.sha256(listed.encode()).hexdigest()}
        with tarfile.open(tmp_path / "new", "w", format=tarfile.PAX_FORMAT, pax_headers=about) as new:
            for name, (info, file) in members.items():
                info.name = name
                info.pax_headers = {"MOME.sha256": sums[name]}
                new.addfile(info, file)
    (tmp_path / "new").replace(path)

    assert [loaded.modality for _, loaded in read_split(tmp_path, "train")] == ["av"]


def test_the_first_bytes_of_a_shard_say_what_it_holds(dataset: Path, tmp_path: Path) -> None:
    path = dataset / "shards" / "a.tar"
    with tarfile.open(path) as tar:
        sums = [hashlib.sha256(tar.extractfile(info).read()).hexdigest() for info in tar.getmembers()]
        listed = "".join(f"{sum_}  {name}\n" for sum_, name in zip(sums, tar.getnames(), strict=True))
    (tmp_path / "beginning.tar").write_bytes(path.read_bytes()[:4096])
    expected = hashlib.sha256(listed.encode()).hexdigest()
    assert shard_sum(path) == shard_sum(tmp_path / "beginning.tar") == expected
    assert shard_sum(dataset / "shards" / "b.tar") != expected


def test_a_shard_of_nothing_has_a_sum_too(tmp_path: Path) -> None:
    write_shard(tmp_path / "empty.tar", [])
    assert shard_sum(tmp_path / "empty.tar") == hashlib.sha256(b"").hexdigest()


def rewrite(path: Path, keep: slice = slice(None), **about: str) -> None:
    """Write a shard again without some of its members, with another beginning."""
    with tarfile.open(path) as tar:
        members = [(info, tar.extractfile(info)) for info in tar.getmembers()[keep]]
        with tarfile.open(path.with_suffix(".new"), "w", format=tarfile.PAX_FORMAT, pax_headers=about) as new:
            for info, file in members:
                del info.pax_headers["MOME.content"]
                new.addfile(info, file)
    path.with_suffix(".new").replace(path)


def test_recordings_that_were_changed_behind_the_sum_are_refused(dataset: Path) -> None:
    path = dataset / "shards" / "a.tar"
    rewrite(path, **{"MOME.content": shard_sum(path)})
    assert len(list(read_split(dataset, "test"))) == 1, "written again as it was"
    rewrite(path, slice(1, None), **{"MOME.content": shard_sum(path)})
    with pytest.raises(CorpusError, match=r"a\.tar: damaged; its recordings have the sum .* begins with"):
        list(read_split(dataset, "test"))


def test_a_shard_of_an_earlier_version_says_so(dataset: Path) -> None:
    rewrite(dataset / "shards" / "a.tar")
    for read in (lambda: shard_sum(dataset / "shards" / "a.tar"), lambda: list(read_split(dataset, "test"))):
        with pytest.raises(CorpusError, match=r"a\.tar: does not begin .* prepare the corpus again"):
            read()


def test_a_clip_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    broken = Clip(np.array([0.0, np.inf], np.float32), None)
    with pytest.raises(MediaError, match=r"utterance u7: .*NaN or infinity"):
        write_shard(tmp_path / "a.tar", [(utterance("u7", "train", broken), broken)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("position", [0.05, 0.3, 0.5, 0.7])
def test_flipped_bytes_are_found(dataset: Path, position: float) -> None:
    path = dataset / "shards" / "a.tar"
    content = bytearray(path.read_bytes())
    start = int(len(content) * position)
    content[start : start + 600] = bytes(byte ^ 0xFF for byte in content[start : start + 600])
    path.write_bytes(bytes(content))
    with pytest.raises(CorpusError, match=r"a\.tar"):
        for split in ("train", "test"):
            list(read_split(dataset, split))


def test_a_cut_shard_is_found(dataset: Path) -> None:
    path = dataset / "shards" / "a.tar"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CorpusError, match=r"a\.tar"):
        list(read_split(dataset, "train"))


def test_a_missing_shard_is_named(dataset: Path) -> None:
    (dataset / "shards" / "b.tar").unlink()
    with pytest.raises(CorpusError, match=r"b\.tar: no such file"):
        list(read_split(dataset, "train"))


def test_a_manifest_of_other_lengths_is_found(dataset: Path) -> None:
    rows = [row.model_copy(update={"num_samples": 7999}) for row in read_manifest(dataset)]
    write_manifest(dataset, rows)
    with pytest.raises(CorpusError, match="utterance c has 8000 samples, but the manifest says 7999"):
        list(read_split(dataset, "train"))


def test_what_is_no_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"manifest\.parquet: no such file"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(CorpusError, match="not a readable parquet file"):
        read_manifest(tmp_path)


def test_a_manifest_of_other_columns_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"utterance_id": ["a"]}), tmp_path / "manifest.parquet")
    with pytest.raises(CorpusError, match="a row is not an utterance"):
        read_manifest(tmp_path)
