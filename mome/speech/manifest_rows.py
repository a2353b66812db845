"""Rows of a manifest as records that are made when they are asked for: held are its columns alone.

A hundred thousand records take hundreds of megabytes, the columns tens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import pyarrow as pa

from mome.records import Utterance

__all__ = ["Rows"]

_AT_ONCE = 1_000  # dictionaries of all rows at once would take more than the records do


class Rows(Sequence[Utterance]):
    """Utterances, in order.

    Args:
        table: As `mome.speech.manifest_table.read_table` returns it, or some of its rows.
    """

    def __init__(self, table: pa.Table) -> None:
        self._table = table.combine_chunks()

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[Utterance]:
        for batch in self._table.to_batches(max_chunksize=_AT_ONCE):
            yield from map(Utterance.model_validate, batch.to_pylist())

    @overload
    def __getitem__(self, index: int) -> Utterance: ...

    @overload
    def __getitem__(self, index: slice) -> list[Utterance]: ...

    def __getitem__(self, index: int | slice) -> Utterance | list[Utterance]:
        places = range(len(self))[index]
        if isinstance(places, int):
            return Utterance.model_validate(self._table.slice(places, 1).to_pylist()[0])
        return [self[place] for place in places]
