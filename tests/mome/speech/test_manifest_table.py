"""The manifest in columns: what records say, and a clear sentence for what is no manifest."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mome.errors import CorpusError
from mome.speech.manifest_table import MANIFEST_SCHEMA, read_table
from mome.speech.media import Clip
from mome.speech.shards import SplitReader, read_manifest, write_manifest
from tests.planted import utterance

CLIP = Clip(samples=np.zeros(16_000, np.float32), mouth=None)


@pytest.fixture
def table(tmp_path: Path) -> pa.Table:
    rows = [utterance(f"u{i}", "train" if i % 2 else "test", CLIP, decodable=i != 3) for i in range(6)]
    write_manifest(tmp_path, rows)
    return read_table(tmp_path)


def test_columns_say_what_records_say(tmp_path: Path, table: pa.Table) -> None:
    assert table.to_pylist() == [row.model_dump() for row in read_manifest(tmp_path)]
    assert [row.utterance_id for row in SplitReader(tmp_path, "train").utterances] == ["u1", "u5"]


def test_a_manifest_from_before_a_column_has_its_default(tmp_path: Path, table: pa.Table) -> None:
    pq.write_table(table.drop_columns(["faces", "mouth_problem"]), tmp_path / "manifest.parquet")
    assert read_table(tmp_path).schema == MANIFEST_SCHEMA
    assert {(row.faces, row.mouth_problem) for row in read_manifest(tmp_path)} == {(0, "")}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (lambda t: t.drop_columns(["peak"]), "column peak is missing"),
        (lambda t: t.append_column("mood", pa.nulls(6)), "no column mood"),
        (lambda t: t.set_column(1, "split", pa.array(["dev"] * 6)), "dev is no split; expected one of train"),
        (
            lambda t: t.set_column(0, "utterance_id", pa.array([None, *"bcdef"])),
            "1 of 6 values of utterance_id",
        ),
        (lambda t: t.set_column(8, "duration_s", pa.array(["long"] * 6)), "long"),
    ],
)
def test_what_is_no_utterance_is_said(tmp_path: Path, table: pa.Table, changed, said) -> None:
    pq.write_table(changed(table), tmp_path / "manifest.parquet")
    with pytest.raises(CorpusError, match=rf"manifest\.parquet: a row is not an utterance: .*{said}"):
        read_table(tmp_path)
