"""A corpus folder with a manifest: ``manifest.csv`` or ``manifest.jsonl``, media beside it.

Columns ``path``, ``transcript``, ``speaker``, ``split``; optional ``id`` and ``video`` (a separate file
with the face or the mouth). A ``corpus.json`` beside it may give the corpus a name and say that no
speaker occurs in two splits: ``{"name": "mine", "speaker_disjoint": true}``.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from data.corpora.lists import read_lines, read_list
from data.corpora.paths import id_of_path, inside, require_file_name
from data.corpora.raw import (
    Corpus,
    RawMedia,
    RawUtterance,
    corpus_name,
    file_stamp,
    fingerprint,
    read_media,
    require_unique_ids,
)
from mome.errors import CorpusError
from mome.records import Split
from mome.speech.text import composed

__all__ = ["CorpusCard", "find_manifest", "read_manifest_corpus"]

_REQUIRED = ("path", "transcript", "speaker", "split")
_NAMES = ("manifest.csv", "manifest.jsonl")


class CorpusCard(BaseModel):
    """What a corpus says about itself in ``corpus.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    speaker_disjoint: bool = False

    @classmethod
    def read(cls, path: Path) -> CorpusCard:
        """Read ``corpus.json``.

        Raises:
            CorpusError: If it is not such a file.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg'].lower()}" for e in error.errors()
            )
            raise CorpusError(
                f'{path}: expected {{"name": text, "speaker_disjoint": true or false}}: {problems}'
            ) from None


@dataclass(frozen=True)
class _Row:
    utterance: RawUtterance
    audio: Path
    video: Path | None


def find_manifest(folder: Path) -> Path | None:
    """Return the manifest of a corpus folder, or None if it has none."""
    return next((folder / name for name in _NAMES if (folder / name).is_file()), None)


def read_manifest_corpus(manifest: Path) -> Corpus:
    """Open the corpus that a manifest describes.

    A missing media file is no error here: its utterance keeps its row, and validation names it.

    Raises:
        CorpusError: If the manifest is empty or not CSV or JSON lines in UTF-8 or UTF-16, lacks a column,
            has a row with too many, names an unknown split, repeats an id, or points outside its folder.
    """
    folder = manifest.parent
    lines = list(_csv_lines(manifest) if manifest.suffix == ".csv" else _json_lines(manifest))
    if not lines:
        raise CorpusError(f"{manifest}: empty; expected one line per recording with {', '.join(_REQUIRED)}")
    rows = [_row(manifest, number, values) for number, values in lines]
    require_unique_ids((row.utterance.utterance_id for row in rows), manifest)
    card_path = folder / "corpus.json"
    card = CorpusCard.read(card_path) if card_path.is_file() else CorpusCard(name=folder.resolve().name)

    def media() -> Iterator[RawMedia]:
        return (read_media(row.audio, row.video) for row in rows)

    files = [path for row in rows for path in (row.audio, row.video) if path is not None]
    return Corpus(
        name=corpus_name(card.name),
        speaker_disjoint=card.speaker_disjoint,
        key=fingerprint([card.model_dump_json(), *map(repr, rows), *map(file_stamp, files)]),
        utterances=[row.utterance for row in rows],
        media=media,
    )


def _csv_lines(manifest: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    # As a stream, which the reader splits itself: a quoted text may hold newlines.
    reader = csv.DictReader(io.StringIO(read_list(manifest), newline=""), strict=True)
    try:
        names = [name.strip() for name in reader.fieldnames or ()]
        _require_columns(manifest, names)
        for values in reader:
            where = f"{manifest}, line {reader.line_num}"
            _require_fields(where, names, cast(list[str], cast(dict[Any, Any], values).pop(None, [])))
            yield reader.line_num, {name.strip(): value for name, value in values.items()}
    except csv.Error as error:
        raise CorpusError(f"{manifest}: not CSV: {error}") from None


def _require_fields(where: str, names: list[str], surplus: list[str]) -> None:
    # Empty ones are what a spreadsheet leaves of deleted columns.
    if any(value.strip() for value in surplus):
        raise CorpusError(
            f"{where}: {len(names) + len(surplus)} fields, expected {len(names)} ({', '.join(names)}); a"
            f" text with a comma must stand in quotes; beyond the last column is {','.join(surplus)!r}"
        )


def _json_lines(manifest: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in read_lines(manifest):
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            raise CorpusError(f"{manifest}, line {number}: not JSON: {error}") from None
        if not isinstance(values, dict):
            raise CorpusError(
                f"{manifest}, line {number}: expected a JSON object, got {type(values).__name__}"
            )
        _require_columns(manifest, list(values), f", line {number}")
        yield number, values


def _require_columns(manifest: Path, found: list[str], where: str = "") -> None:
    missing = [column for column in _REQUIRED if column not in found]
    if missing:
        raise CorpusError(
            f"{manifest}{where}: missing columns {', '.join(missing)}; found {', '.join(found) or 'none'}"
        )
    twice = sorted({name for name in found if name and found.count(name) > 1})
    if twice:
        raise CorpusError(f"{manifest}{where}: column {twice[0]} is there twice; expected it once")


def _row(manifest: Path, number: int, values: dict[str, Any]) -> _Row:
    where = f"{manifest}, line {number}"
    path, transcript, speaker, split, utterance_id, video = (
        str(values.get(column) if values.get(column) is not None else "").strip()
        for column in (*_REQUIRED, "id", "video")
    )
    if split not in get_args(Split):
        raise CorpusError(f"{where}: unknown split {split!r}; expected one of {', '.join(get_args(Split))}")
    if not speaker:
        raise CorpusError(
            f"{where}: no speaker; without one nobody can tell whether test speakers were trained on"
        )
    audio = inside(manifest.parent, path, where)
    # Letters with accents can be written in two ways; a speaker must not be two for that.
    speaker, transcript = composed(speaker), composed(transcript)
    utterance_id = composed(utterance_id or id_of_path(path))
    require_file_name(utterance_id, where)
    utterance = RawUtterance(utterance_id, cast(Split, split), speaker, transcript)
    return _Row(utterance, audio, inside(manifest.parent, video, where) if video else None)
