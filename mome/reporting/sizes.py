"""How large something is, as people read it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

__all__ = ["file_bytes", "size"]


def size(count: int) -> str:
    """Return a number of bytes with its unit: ``812 bytes``, ``3.0 MB``."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"


def file_bytes(paths: Iterable[Path]) -> int:
    """Return the bytes of those that are files."""
    return sum(path.stat().st_size for path in paths if path.is_file())
