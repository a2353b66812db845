"""Markdown of what is said where no page can be shown: in the job of a CI, in a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["bullets", "columns", "document"]

_SPECIAL = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>|~#"} | {"\n": " "})


def document(title: str, *parts: str) -> str:
    """Return a document: a title and its parts, empty ones left out."""
    return "\n\n".join([f"# {_text(title)}", *(part for part in parts if part)]) + "\n"


def bullets(pairs: Iterable[tuple[str, object]]) -> str:
    """Return name and value pairs, one per line."""
    return "\n".join(f"- {_text(name)}: {_text(value)}" for name, value in pairs)


def columns(head: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: bool = True) -> str:
    """Return a table; the first column names the rows, the others stand to the right if they are numbers."""
    lines = [_line(head), "|---|" + ("--:|" if numbers else "---|") * (len(head) - 1)]
    return "\n".join([*lines, *map(_line, rows)])


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(_text, cells)) + " |"


def _text(value: object) -> str:
    # Names of corpora and recordings are somebody else's: they must not become markup.
    return str(value).translate(_SPECIAL)
