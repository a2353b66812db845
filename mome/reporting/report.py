"""One report in two forms: a page with all there is, and a card with what a person wants to know first.

Both are made of the same parts, so that they cannot say different things.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from mome.reporting import card, page
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
        self._card: list[str] = []

    def verdict(self, good: bool, word: str, why: str) -> None:
        """Say at a glance how it went, and why."""
        self._page.append(f"<p>{page.verdict(good, word)} {escape(why)}</p>")
        self._card.append(card.verdict(word, why))

    def facts(self, pairs: Iterable[tuple[str, object]], *, on_card: bool = True) -> None:
        """Add names and values, one pair per line."""
        known = list(pairs)
        self._page.append(page.facts(known))
        if on_card:
            self._card.append(card.bullets(known))

    def heading(self, text: str, *, on_card: bool = True) -> None:
        """Begin a part."""
        self._page.append(f"<h2>{escape(text)}</h2>")
        if on_card:
            self._card.append(card.heading(text))

    def say(self, text: str, *, on_card: bool = True) -> None:
        """Add a paragraph."""
        self._page.append(f"<p>{escape(text)}</p>")
        if on_card:
            self._card.append(card.sentence(text))

    def table(
        self,
        head: Sequence[str],
        rows: Iterable[Sequence[str]],
        *,
        numbers: bool = True,
        on_card: int | None = None,
    ) -> None:
        """Add a table.

        Args:
            head: Column names.
            rows: As many cells per row; the first names the row.
            numbers: The other columns are numbers, not sentences.
            on_card: How many rows there is room for on the card; all unless given.
        """
        known = [[*row] for row in rows]
        self._page.append(page.table(head, known, css="number" if numbers else "wide"))
        if on_card != 0:
            self._card.append(card.columns(head, known[:on_card], numbers=numbers))

    def command(self, text: str) -> None:
        """Add lines to copy, as they are."""
        self._page.append(page.command(text))
        self._card.append(card.command(text))

    def picture(self, html: str) -> None:
        """Add what only a page can show; whoever made it has escaped what is not their own."""
        self._page.append(html)

    def write(self, html: Path, markdown: Path) -> None:
        """Write both forms, each whole or not at all."""
        write_text(html, page.page(self._title, "\n".join(self._page)))
        write_text(markdown, card.card(self._title, *self._card))
