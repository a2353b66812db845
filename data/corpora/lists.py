"""The text of a list that people or programs wrote: its encoding by its mark, its lines by newlines alone."""

from __future__ import annotations

import codecs
import gzip
import zlib
from pathlib import Path

from mome.errors import CorpusError

__all__ = ["read_lines", "read_list"]

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_list(path: Path) -> str:
    """Return a list's text: UTF-8, or UTF-16 with its byte order mark, as spreadsheets on Windows save it.

    What ends in ``.gz`` is unpacked.

    Raises:
        CorpusError: If it cannot be read, or is neither.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CorpusError(f"{path}: not a whole gzip file: {error}") from None
    except OSError as error:
        raise CorpusError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: not UTF-8 text: {error}") from None
    if "\0" in text:
        raise CorpusError(
            f"{path}: not UTF-8 text: it holds zero bytes; expected UTF-8, or UTF-16 with its byte order mark"
        )
    return text


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines that hold something, with their numbers from 1.

    Not `str.splitlines`: it also ends a line at separators that may stand within a text, such as U+2028.

    Raises:
        CorpusError: As `read_list`.
    """
    lines = read_list(path).split("\n")
    return [(number, line.removesuffix("\r")) for number, line in enumerate(lines, 1) if line.strip()]
