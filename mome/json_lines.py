"""Files of JSON lines that grow at their end, and are read from there."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["lines_from_the_end", "open_at_the_end"]


def lines_from_the_end(path: Path) -> Iterator[bytes]:
    """Yield the whole lines of a file, last one first, without blank ones.

    A last line without its line break is still being written, or its writer died; it is left out.
    """
    if not path.stat().st_size:  # an empty file cannot be mapped
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        end = content.rfind(b"\n")
        while end >= 0:
            start = content.rfind(b"\n", 0, end)
            line = content[start + 1 : end]
            if line.strip():
                yield line
            end = start


def open_at_the_end(path: Path) -> BinaryIO:
    """Open a file to append whole lines to; what a writer that died left of one becomes a line of its own.

    Raises:
        OSError: If it cannot be opened.
    """
    file = path.open("ab+")
    if file.seek(0, os.SEEK_END):
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")
    return file
