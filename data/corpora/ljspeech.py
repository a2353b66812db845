"""LJ Speech as it is downloaded (Ito and Johnson 2017): one reader, with a table of what she reads.

    wavs/LJ001-0001.wav
    metadata.csv            LJ001-0001|as written, in 1455|as read, in fourteen fifty-five

The text is the second column as written, with `prepare.text: spoken` for its numbers; the third one is
the corpus's own, and taken where there is one. There are no splits: a tenth of the clips each is held out.
"""

from __future__ import annotations

import re
from pathlib import Path

from data.corpora.lists import read_lines
from data.corpora.raw import Corpus, RawUtterance
from data.corpora.takes import Take, corpus_of, with_validation
from mome.errors import CorpusError

__all__ = ["find_ljspeech", "read_ljspeech"]

_TABLES = ("metadata.csv", "transcripts.txt")
_ROW = re.compile(r"(LJ\d{3}-\d{4})(?:\.wav)?\|([^|]*)(?:\|([^|]*))?")
_SPEAKER = "lj"


def find_ljspeech(folder: Path) -> Path | None:
    """Return the table of LJ Speech, or None: that is a list whose first row is one of it."""
    for name in _TABLES:
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                if _ROW.match(file.readline().decode("utf-8-sig", "replace")):
                    return folder / name
    return None


def read_ljspeech(folder: Path, table: Path) -> Corpus:
    """Open LJ Speech; recordings that are missing are named by validation.

    Raises:
        CorpusError: If a row of the table is none.
    """
    takes: list[Take] = []
    for number, line in read_lines(table):
        row = _ROW.fullmatch(line)
        if row is None:
            raise CorpusError(f"{table}, line {number}: {line[:60]!r}; expected LJ001-0001|text|text as read")
        utterance = RawUtterance(row[1].lower(), "train", _SPEAKER, (row[3] or row[2]).strip())
        takes.append(Take(utterance, _recording(folder, row[1])))
    return corpus_of("ljspeech", folder, with_validation(folder, takes))


def _recording(folder: Path, name: str) -> Path:
    places = [folder / "wavs" / f"{name}.wav", folder / f"{name}.wav", folder / f"{name}.flac"]
    return next((place for place in places if place.is_file()), places[0])
