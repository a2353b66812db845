"""Files of JSON lines that grow at their end, read from there."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

__all__ = ["lines_from_the_end"]


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
