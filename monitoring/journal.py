"""Files of JSON lines that grow at their end: read from there, and appended to line by line."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from mome.records import ScaleDecision

__all__ = ["append_decision", "lines_from_the_end", "read_decisions"]


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


def read_decisions(path: Path, since: datetime) -> list[ScaleDecision]:
    """Return the decisions from ``since`` on, oldest first; none when there is no file yet.

    A line that is no decision is passed over: what was decided before it still counts.
    """
    decisions: list[ScaleDecision] = []
    if not path.exists():
        return decisions
    for line in lines_from_the_end(path):
        try:
            decision = ScaleDecision.model_validate_json(line)
        except ValidationError:
            continue
        if decision.at < since:
            break
        decisions.append(decision)
    return decisions[::-1]


def append_decision(path: Path, decision: ScaleDecision) -> None:
    """Append one line; what a writer that died left half-written becomes a line of its own."""
    with path.open("ab+") as file:
        size = file.seek(0, 2)
        if size:
            file.seek(size - 1)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(decision.model_dump_json().encode() + b"\n")
