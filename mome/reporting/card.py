"""Markdown for the short reports: what a person wants to know first, before any picture."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["bullets", "card", "columns", "command", "heading", "sentence", "verdict"]

_SPECIAL = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>|~#"} | {"\n": " "})


def card(title: str, *parts: str) -> str:
    """Return a document: a title and its parts, empty ones left out."""
    return "\n\n".join([f"# {_text(title)}", *(part for part in parts if part)]) + "\n"


def bullets(pairs: Iterable[tuple[str, object]]) -> str:
    """Return name and value pairs, one per line."""
    return "\n".join(f"- {_text(name)}: {_text(value)}" for name, value in pairs)


def columns(head: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: bool = True) -> str:
    """Return a table; the first column names the rows, the others stand to the right if they are numbers."""
    lines = [_line(head), "|---|" + ("--:|" if numbers else "---|") * (len(head) - 1)]
    return "\n".join([*lines, *map(_line, rows)])


def heading(text: str) -> str:
    """Return the name of a part."""
    return f"## {_text(text)}"


def verdict(word: str, why: str) -> str:
    """Return a line that says at a glance how it went."""
    return f"**{_text(word)}**: {_text(why)}"


def sentence(text: str) -> str:
    """Return a paragraph."""
    return _text(text)


def command(text: str) -> str:
    """Return lines to copy, as they are."""
    # A fence is closed by as many marks as opened it: more than the lines themselves hold.
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}"


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(_text, cells)) + " |"


def _text(value: object) -> str:
    # Names of corpora and recordings are somebody else's: they must not become markup.
    return str(value).translate(_SPECIAL)
