"""A dataset without what was set aside is read as one that never had it; nothing is copied."""

from pathlib import Path

import numpy as np
import pytest

from mome.errors import CorpusError
from mome.records import SetAside
from mome.speech.shards import read_manifest, read_split
from mome.speech.usable import read_set_aside, usable, write_set_aside


def test_later_steps_read_the_rest(dataset: Path, tmp_path: Path) -> None:
    whole = {row.utterance_id: clip for row, clip in read_split(dataset, "train")}
    first, *others = whole
    write_set_aside([SetAside(utterance_id=first, split="train", reasons=["silent", "short"])], tmp_path)
    folder = usable(dataset, tmp_path)
    found = {row.utterance_id: clip for row, clip in read_split(folder, "train")}
    assert list(found) == others
    for name in others:
        np.testing.assert_array_equal(found[name].samples, whole[name].samples)
    assert len(read_manifest(folder)) == len(read_manifest(dataset)) - 1
    assert (folder / "corpus.json").read_bytes() == (dataset / "corpus.json").read_bytes()
    assert len(list(read_split(dataset, "train"))) == len(whole), "what is not ours is left alone"


def test_where_nothing_is_set_aside_the_dataset_itself_is_read(dataset: Path, tmp_path: Path) -> None:
    write_set_aside([], tmp_path)
    assert usable(dataset, tmp_path) == dataset


@pytest.mark.parametrize("content", [b"{}\n", b"\xff\xfe", b"clip-1\n", None])
def test_what_is_no_list_is_refused(content: bytes | None, dataset: Path, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "set_aside.jsonl").write_bytes(content)
    with pytest.raises(CorpusError, match=r"set_aside\.jsonl: not the list of recordings set aside"):
        read_set_aside(tmp_path)


def test_the_list_of_another_dataset_is_refused(dataset: Path, tmp_path: Path) -> None:
    write_set_aside([SetAside(utterance_id="elsewhere", split="test", reasons=["lost"])], tmp_path)
    with pytest.raises(CorpusError, match="elsewhere is not in"):
        usable(dataset, tmp_path)
