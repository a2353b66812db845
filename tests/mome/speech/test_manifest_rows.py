"""Rows of a manifest: the records that were written, in order, made when they are asked for."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mome.speech.manifest_rows import Rows
from mome.speech.manifest_table import read_table
from mome.speech.media import Clip
from mome.speech.shards import write_manifest
from tests import planted

SOUND = Clip(np.zeros(8000, np.float32), None)


def test_rows_are_the_records_that_were_written(tmp_path: Path) -> None:
    written = [planted.utterance(f"u{number}", "train", SOUND) for number in range(2_500)]
    write_manifest(tmp_path, written)
    rows = Rows(read_table(tmp_path))
    assert len(rows) == 2_500
    assert list(rows) == written
    assert [rows[0], rows[-1], rows[1234]] == [written[0], written[-1], written[1234]]
    assert rows[5:9] == written[5:9]
    with pytest.raises(IndexError):
        rows[2_500]


def test_going_over_all_rows_keeps_none(tmp_path: Path) -> None:
    write_manifest(tmp_path, [planted.utterance(f"u{number}", "train", SOUND) for number in range(4_000)])
    rows = Rows(read_table(tmp_path))
    tracemalloc.start()
    try:
        assert sum(row.num_samples for row in rows) == 4_000 * 8000
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 500_000
    assert peak < 6_000_000, "bytes: a thousand rows at a time, not four thousand"
