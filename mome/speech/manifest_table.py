"""The manifest in columns: a million recordings in some hundred megabytes, where records take gigabytes.

Whoever judges or counts all recordings reads it so; whoever needs one recording after the other asks
`mome.speech.shards.read_manifest` for records. Both see what was checked here.
"""

from __future__ import annotations

from pathlib import Path
from types import NoneType
from typing import get_args

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mome.errors import CorpusError
from mome.records import Split, Utterance
from mome.storage import new_file

__all__ = ["MANIFEST_SCHEMA", "read_table", "write_table"]

_FILE = "manifest.parquet"
_TYPES = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}


def _column_type(name: str) -> pa.DataType:
    # A Literal is text. Types are stated because an empty manifest has no row to guess them from.
    annotation = Utterance.model_fields[name].annotation
    either = set(get_args(annotation)) - {NoneType} if _may_miss(name) else {annotation}
    return next((_TYPES[each] for each in either if each in _TYPES), pa.string())


def _may_miss(name: str) -> bool:
    """Return whether a value of the column may be missing: what was not measured."""
    return NoneType in get_args(Utterance.model_fields[name].annotation)


MANIFEST_SCHEMA = pa.schema([(name, _column_type(name)) for name in Utterance.model_fields])


def read_table(dataset: Path) -> pa.Table:
    """Read ``manifest.parquet`` of a dataset folder: one row per utterance, columns as `Utterance` has them.

    Raises:
        CorpusError: If it is missing, is not parquet, or its rows are not utterances.
    """
    path = dataset / _FILE
    try:
        # One thread: decoding is a second of a million rows, and each thread's buffers stay in memory.
        table = pq.read_table(path, use_threads=False)
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file; expected the manifest that prepare writes") from None
    except (pa.ArrowException, OSError) as error:
        raise CorpusError(f"{path}: not a readable parquet file: {error}") from error
    try:
        return _checked(table)
    except (pa.ArrowException, ValueError) as error:
        raise CorpusError(f"{path}: a row is not an utterance: {error}") from error


def write_table(dataset: Path, table: pa.Table) -> None:
    """Write ``manifest.parquet`` of a dataset folder, whole or not at all."""
    with new_file(dataset / _FILE) as temporary:
        pq.write_table(table, temporary)


def _checked(table: pa.Table) -> pa.Table:
    """Return the columns of an utterance, in order and of its types; one that is newer has its default."""
    if unknown := sorted(set(table.column_names) - set(MANIFEST_SCHEMA.names)):
        raise ValueError(f"it has no column {unknown[0]}")
    columns = []
    for field in MANIFEST_SCHEMA:
        if field.name in table.column_names:
            column = table[field.name].cast(field.type)
        elif Utterance.model_fields[field.name].is_required():
            raise ValueError(f"column {field.name} is missing")
        else:
            default = pa.scalar(Utterance.model_fields[field.name].default, field.type)
            column = pa.repeat(default, table.num_rows)
        if column.null_count and not _may_miss(field.name):
            raise ValueError(f"{column.null_count} of {table.num_rows} values of {field.name} are missing")
        columns.append(column)
    checked = pa.table(columns, schema=MANIFEST_SCHEMA)
    if others := set(pc.unique(checked["split"]).to_pylist()) - set(get_args(Split)):
        raise ValueError(f"{min(others)} is no split; expected one of {', '.join(get_args(Split))}")
    return checked
