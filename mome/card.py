"""Markdown for the short reports: what a person wants to know first, before any picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["bullets", "card", "columns"]

_SPECIAL = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>|~#"} | {"\n": " "})


def card(title: str, *parts: str) -> str:
    """Return a document: a title and its parts, empty ones left out."""
    return "\n\n".join([f"# {_text(title)}", *(part for part in parts if part)]) + "\n"


def bullets(pairs: Iterable[tuple[str, object]]) -> str:
    """Return name and value pairs, one per line."""
    return "\n".join(f"- {_text(name)}: {_text(value)}" for name, value in pairs)


def columns(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; the first column names the rows, the others are numbers and stand to the right."""
    lines = [_line(head), "|---|" + "--:|" * (len(head) - 1)]
    return "\n".join([*lines, *map(_line, rows)])


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(_text, cells)) + " |"


def _text(value: object) -> str:
    # Names of corpora and recordings are somebody else's: they must not become markup.
    return str(value).translate(_SPECIAL)
