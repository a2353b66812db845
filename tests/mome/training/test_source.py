"""What a training kept is found again by its data: changed data is noticed, and not read for that."""

import shutil
from pathlib import Path

import pytest

from mome.errors import CorpusError
from mome.speech.media import Clip
from mome.speech.shards import read_manifest, read_split, write_manifest, write_shard
from mome.training.run import source_digest


@pytest.fixture
def own(dataset: Path, tmp_path: Path) -> Path:
    """A copy of the dataset, to be changed."""
    return shutil.copytree(dataset, tmp_path / "dataset")


def test_equal_data_has_an_equal_digest_wherever_it_lies(own: Path, dataset: Path, foundation: Path) -> None:
    assert source_digest(own, foundation) == source_digest(dataset, foundation)


def test_one_changed_sample_changes_it(own: Path, foundation: Path) -> None:
    before = source_digest(own, foundation)
    pairs = list(read_split(own, "train"))
    row, clip = pairs[0]
    samples = clip.samples.copy()
    samples[100] += 0.1
    # The manifest stays as it is: it holds no sum.
    write_shard(own / "shards" / row.shard, [(row, Clip(samples, clip.mouth)), *pairs[1:]])
    assert source_digest(own, foundation) != before


def test_one_changed_word_changes_it(own: Path, foundation: Path) -> None:
    before = source_digest(own, foundation)
    first, *others = read_manifest(own)
    write_manifest(own, [first.model_copy(update={"transcript": "other"}), *others])
    assert source_digest(own, foundation) != before


def test_the_recordings_are_not_read_for_it(own: Path, foundation: Path) -> None:
    before = source_digest(own, foundation)
    for shard in (own / "shards").iterdir():
        shard.write_bytes(shard.read_bytes()[:8192])
    assert source_digest(own, foundation) == before
    with pytest.raises(CorpusError, match=r"\.tar: .*(damaged|missing|cannot be read)"):
        list(read_split(own, "train"))


def test_a_shard_that_is_no_tar_file_is_named(own: Path, foundation: Path) -> None:
    shard = min((own / "shards").iterdir())
    shard.write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(CorpusError, match=rf"{shard.name}: damaged"):
        source_digest(own, foundation)
