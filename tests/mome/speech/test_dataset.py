"""A dataset in a bucket: read as the folder is, a range at a time, and what is wrong is one sentence."""

from __future__ import annotations

import json
import multiprocessing
import re
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest

from mome.errors import ConfigError, CorpusError, MomeError, ServiceError
from mome.records import SetAside
from mome.speech.dataset import open_dataset
from mome.speech.media import Clip
from mome.speech.shard_files import BucketShards
from mome.speech.shards import (
    SplitReader,
    read_manifest,
    read_split,
    shard_sum,
    shard_sums,
    write_manifest,
    write_shard,
)
from mome.speech.usable import usable, write_set_aside
from tests import planted
from tests.buckets import bucket_files, s3_environment, s3_server, uploaded

PER_SHARD, SHARDS = 40, 2


def clip(seed: int) -> Clip:
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, 12 * 640).astype(np.float32)
    return Clip(samples, np.full((12, 96, 96), 60 + seed, np.uint8))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards of forty clips."""
    folder = tmp_path_factory.mktemp("dataset")
    rows = []
    for number in range(SHARDS):
        shard = f"train-{number:05d}.tar"
        clips = [(f"{number}-{index:02d}", clip(PER_SHARD * number + index)) for index in range(PER_SHARD)]
        pairs = [(planted.utterance(name, "train", each, shard=shard), each) for name, each in clips]
        write_shard(folder / "shards" / shard, pairs)
        rows += [row for row, _ in pairs]
    write_manifest(folder, rows)
    about = {"name": "tiny", "revision": "0" * 40, "modality": "av", "speaker_disjoint": True}
    (folder / "corpus.json").write_text(json.dumps(about))
    (folder / "face_models").mkdir()
    (folder / "face_models" / "detector.onnx").write_bytes(b"planted")
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """The port of a server that knows ranges, and its folder."""
    folder = tmp_path_factory.mktemp("s3")
    with s3_server(folder) as port:
        yield port, folder


@pytest.fixture
def asked(server: tuple[int, Path]) -> Callable[[], list[str]]:
    """Returns the requests since it was called last."""
    log, seen = server[1] / "server.log", [0]

    def since() -> list[str]:
        lines = re.findall(r"^(?:GET|HEAD|PUT) .*$", log.read_text(), re.M)
        new, seen[0] = lines[seen[0] :], len(lines)
        return new

    since()
    return since


@pytest.fixture(autouse=True)
def environment(server: tuple[int, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3_environment(server[0]).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def own(dataset: Path, environment: None, tmp_path: Path) -> str:
    """The address of a copy that a test may change."""
    return uploaded(dataset, re.sub("[^a-z0-9]+", "-", tmp_path.name.lower()).strip("-"))


@pytest.fixture(scope="module")
def address(server: tuple[int, Path], dataset: Path) -> str:
    """The address of a copy that stays as it is."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in s3_environment(server[0]).items():
            environment.setenv(name, value)
        return uploaded(dataset, "kept")


def said(address: str) -> str:
    with pytest.raises(MomeError) as error:
        list(read_split(open_dataset(address), "train"))
    return f"{type(error.value).__name__}: {error.value}"


def test_a_folder_is_itself(dataset: Path) -> None:
    assert open_dataset(str(dataset)) == dataset


def test_a_bucket_is_read_as_the_folder_is_and_no_shard_is_copied(dataset: Path, address: str) -> None:
    opened = open_dataset(address)
    assert read_manifest(opened) == read_manifest(dataset)
    assert list(shard_sums(opened)) == [shard_sum(path) for path in sorted(dataset.glob("shards/*"))]
    pairs = zip(read_split(opened, "train"), read_split(dataset, "train"), strict=True)
    for (row, there), (expected_row, here) in pairs:
        assert row == expected_row
        np.testing.assert_array_equal(there.samples, here.samples)
        np.testing.assert_array_equal(there.mouth, here.mouth)
    for name in ("corpus.json", "face_models/detector.onnx"):
        assert (opened / name).read_bytes() == (dataset / name).read_bytes()
    files = [path for path in opened.rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == [
        "corpus.json",
        "detector.onnx",
        "manifest.parquet",
        "shards",
    ]


def test_what_validation_set_aside_is_left_out_there_too(address: str, tmp_path: Path) -> None:
    write_set_aside([SetAside(utterance_id="0-00", split="train", reasons=["planted"])], tmp_path)
    with closing(SplitReader(usable(open_dataset(address), tmp_path), "train")) as reader:
        assert len(reader) == SHARDS * PER_SHARD - 1
        assert reader.clip(0).mouth is not None


def test_clips_in_order_share_requests(address: str, asked: Callable[[], list[str]]) -> None:
    opened = open_dataset(address)
    asked()
    assert len(list(read_split(opened, "train"))) == SHARDS * PER_SHARD
    requests = asked()
    assert len(requests) <= 4 * SHARDS, "the list, and a megabyte at a time"
    assert all(" bytes=" in line for line in requests), "no shard is asked for whole"


def test_a_clip_alone_is_one_request_of_its_own_range(
    address: str, dataset: Path, asked: Callable[[], list[str]]
) -> None:
    with closing(SplitReader(open_dataset(address), "train")) as reader:
        reader.clip(0)
        asked()
        reader.clip(30)
        reader.clip(10)
        requests = asked()
    assert len(requests) == 2
    size = (dataset / "shards" / "train-00000.tar").stat().st_size
    ranges = [[int(end) for end in line.rpartition("=")[2].split("-")] for line in requests]
    assert all(last - first < size / 4 for first, last in ranges)


def test_a_fork_reads_on(address: str) -> None:
    with closing(SplitReader(open_dataset(address), "train")) as reader:
        expected = reader.sound(0)
        with multiprocessing.get_context("fork").Pool(1) as pool:
            read = pool.apply_async(reader.sound, (0,)).get(timeout=20)
    np.testing.assert_array_equal(read, expected)


def test_nothing_of_a_shard_is_kept(address: str) -> None:
    with closing(SplitReader(open_dataset(address), "train")) as reader:
        reader.clip(0)
        tracemalloc.start()
        try:
            for index in range(len(reader)):
                reader.stored(index)
            once, _ = tracemalloc.get_traced_memory()
            for index in range(len(reader)):
                reader.stored(index)
            twice, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert twice - once < 100_000, "bytes more after the second pass"
    assert peak < 6_000_000, "bytes: what came last, and what comes"


def test_a_bucket_that_goes_away_midway_names_the_shard_and_what_was_asked(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as left:
        with s3_server(tmp_path) as port:
            for name, value in s3_environment(port).items():
                monkeypatch.setenv(name, value)
            opened = open_dataset(uploaded(dataset, "gone"))
            reader = left.enter_context(closing(SplitReader(opened, "train")))
            reader.clip(0)
        with pytest.raises(
            ServiceError,
            match=r"s3://gone/digits/shards/train-00000\.tar: asked for \d+ bytes from \d+ on: .*not answer",
        ):
            reader.clip(35)


def test_a_shard_that_is_not_there_is_named(own: str) -> None:
    bucket_files().rm(f"{own}/shards/train-00001.tar")
    assert re.search(r"ServiceError: s3://\S+/shards/train-00001\.tar: asked for .* not there", said(own))


def test_a_shard_that_is_another_is_named(own: str, dataset: Path) -> None:
    there = f"{own}/shards/train-00001.tar"
    bucket_files().put_file(str(dataset / "shards" / "train-00000.tar"), there)
    assert said(own) == (
        f"CorpusError: {there}: 1-00.flac is missing; the manifest says that it is in this shard"
    )


def test_a_shard_that_was_replaced_while_it_is_read_is_named(own: str, dataset: Path) -> None:
    with closing(SplitReader(open_dataset(own), "train")) as reader:
        reader.clip(0)
        there = f"{own}/shards/train-00000.tar"
        bucket_files().put_file(str(dataset / "shards" / "train-00001.tar"), there)
        with pytest.raises(CorpusError, match=r"train-00000\.tar: 0-30\.flac is damaged; its content"):
            reader.clip(30)


def test_a_shard_without_a_list_is_read_from_header_to_header(
    own: str, dataset: Path, tmp_path: Path
) -> None:
    import tarfile

    path = dataset / "shards" / "train-00000.tar"
    with tarfile.open(path) as tar:
        about = {"MOME.content": tar.pax_headers["MOME.content"]}
        with tarfile.open(tmp_path / "old.tar", "w", format=tarfile.PAX_FORMAT, pax_headers=about) as old:
            for info in tar.getmembers():
                content = tar.extractfile(info)
                info.pax_headers = {"MOME.sha256": info.pax_headers["MOME.sha256"]}
                old.addfile(info, content)
    bucket_files().put_file(str(tmp_path / "old.tar"), f"{own}/shards/train-00000.tar")
    with closing(SplitReader(open_dataset(own), "train")) as reader:
        np.testing.assert_allclose(reader.sound(7), clip(7).samples, atol=0.5 / 32768)


def test_what_is_no_dataset_is_named(own: str) -> None:
    missing = "manifest.parquet"
    bucket_files().rm(f"{own}/{missing}")
    assert said(own) == (
        f"CorpusError: {own}: no {missing} there; expected a dataset that data.prepare wrote"
    )


def test_a_manifest_that_cannot_be_read_is_named_where_it_lies(own: str) -> None:
    with bucket_files().open(f"{own}/manifest.parquet", "wb") as file:
        file.write(b"PAR1, but no more")
    assert said(own).startswith(f"CorpusError: {own}/manifest.parquet: not a readable parquet file: ")


def test_a_bucket_that_is_not_there_is_named(address: str) -> None:
    with pytest.raises(ConfigError, match="s3://elsewhere: no such bucket"):
        open_dataset("s3://elsewhere/digits")


@pytest.mark.parametrize("address", ["gs://bucket/digits", "s3:///digits", "s3://bucket/digits?writers=one"])
def test_an_address_that_is_none_is_named(address: str) -> None:
    with pytest.raises(CorpusError, match=f"{re.escape(address)}.*expected a folder or s3://bucket/prefix"):
        open_dataset(address)


def test_a_server_that_knows_no_ranges_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    shards = BucketShards("bucket", "digits/shards")
    monkeypatch.setattr(shards, "_reader", Whole())
    with pytest.raises(CorpusError, match=r"asked for 10 bytes from 0 on, but 99 came; expected a server"):
        shards.fetch("a.tar", 0, 10)


class Whole:
    def uri(self, name: str) -> str:
        return name

    def read_range(self, name: str, start: int, stop: int) -> bytes:
        return bytes(99)
