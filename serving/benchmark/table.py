"""What was measured, as Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from mome.benchmark.rows import Ratio, Target
from mome.machine.processor import available_cores, processor

__all__ = ["Row", "figure", "machine", "table"]

_HEAD = ("what", "compared with", "ours", "ratio", "lowest to highest", "target", "", "note")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        what: What was measured.
        before: What it is compared with, with its unit.
        ours: Figure of this code, with its unit.
        ratio: Of the two, or the figure alone.
        target: None if the line only explains another one.
        note: What a reader has to know.
    """

    what: str
    before: str
    ours: str
    ratio: Ratio
    target: Target | None = None
    note: str = ""


def figure(what: str, ours: str, value: float, target: Target | None, note: str = "") -> Row:
    """Return a line for a figure that is compared with its target alone."""
    return Row(what, "", ours, Ratio(value, value, value), target, note)


def machine() -> Iterator[str]:
    """Yield what the figures depend on."""
    yield f"- measured on: {date.today().isoformat()}"
    yield f"- CPU: {processor().name}, {available_cores()} cores, the callers' too"
    yield f"- load of the machine in the last five minutes: {os.getloadavg()[1]:.1f}"
    yield f"- software: Python {platform.python_version()}"


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield _line(_HEAD)
    yield _line("---" for _ in _HEAD)
    for row in rows:
        spread = f"{row.ratio.low:.2f} to {row.ratio.high:.2f}" if row.before else ""
        verdict = (
            "" if row.target is None else "reached" if row.target.reached(row.ratio.median) else "missed"
        )
        target = "" if row.target is None else str(row.target)
        yield _line(
            (row.what, row.before, row.ours, f"{row.ratio.median:.2f}", spread, target, verdict, row.note)
        )


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
