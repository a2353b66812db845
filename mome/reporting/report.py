"""A report of a step: one page, whose parts are added in the order in which they are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from mome.reporting import page
from mome.storage import write_text

__all__ = ["Report"]


class Report:
    """Parts in the order in which they are read; all of them are plain text, except for `picture`.

    Args:
        title: What it is about, and how it went.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._page: list[str] = []

    def verdict(self, good: bool, word: str, why: str) -> None:
        """Say at a glance how it went, and why."""
        self._page.append(f"<p>{page.verdict(good, word)} {escape(why)}</p>")

    def facts(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Add names and values, one pair per line."""
        self._page.append(page.facts(pairs))

    def heading(self, text: str) -> None:
        """Begin a part."""
        self._page.append(f"<h2>{escape(text)}</h2>")

    def say(self, text: str) -> None:
        """Add a paragraph."""
        self._page.append(f"<p>{escape(text)}</p>")

    def table(
        self,
        head: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        numbers: bool = True,
    ) -> None:
        """Add a table.

        Args:
            head: Column names.
            rows: As many cells per row; the first names the row.
            numbers: The other columns are numbers, not sentences.
        """
        known = [[*row] for row in rows]
        self._page.append(page.table(head, known, css="number" if numbers else "wide"))

    def command(self, text: str) -> None:
        """Add lines to copy, as they are."""
        self._page.append(page.command(text))

    def picture(self, html: str) -> None:
        """Add what only a page can show; whoever made it has escaped what is not their own."""
        self._page.append(html)

    def body(self) -> str:
        """Return the parts alone, for a page of somebody else's."""
        return "\n".join(self._page)

    def html(self) -> str:
        """Return the page."""
        return page.page(self._title, self.body())

    def write(self, path: Path) -> None:
        """Write the page, whole or not at all."""
        write_text(path, self.html())
