"""The comparison as a picture: every method with its interval, by rate pair and by noise."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mome.compare.markdown import cell_text
from mome.compare.records import Comparison, Row
from mome.compare.sentences import Labelled, clean_conditions, noisy_conditions, pair
from mome.reporting.charts import Axis, Plot, colour, legend, nice_ticks
from mome.reporting.page import page, table

__all__ = ["picture"]

_GUIDE = """<p>Upright bars are 95 % bootstrap intervals over utterances, all seeds of an utterance drawn
together. Whether two methods differ is told by their paired difference, which comparison.json holds: methods
whose bars overlap may still differ, as both are measured on the same utterances. † trains one model per rate
pair. MHSA, FFN and LAYER are the forms of MoME.</p>"""


def picture(comparison: Comparison) -> str:
    """Return the HTML page."""
    clean = clean_conditions(comparison)
    parts = [_GUIDE, "<h2>Clean speech, by rate pair</h2>", _drawing(comparison.rows, clean)]
    for scale in comparison.scales:
        parts.append(f"<h2>Babble, at {pair(scale)}</h2>")
        parts.append(_drawing(comparison.rows, noisy_conditions(comparison, scale)))
    return page(f"Methods compared on {comparison.corpus}", "\n".join(parts))


def _short(name: str) -> str:
    """Leave of MoME its form, for an axis has no room for more: the table below has the whole name."""
    return re.sub(r"^MoME-\d+/\d+-", "", name)


def _drawing(rows: Sequence[Row], columns: Sequence[Labelled]) -> str:
    ticks = nice_ticks(
        max(100 * row.cells[column.condition].total.high for row in rows for column in columns)
    )
    plot = Plot(
        Axis(-0.5, len(rows) - 0.5, [(i, _short(row.name)) for i, row in enumerate(rows)], "method"),
        Axis(0, ticks[-1], [(tick, f"{tick:g} %") for tick in ticks], "word error rate"),
        "Word error rate by method, with intervals",
    )
    for index, column in enumerate(columns):
        shift = 0.14 * (index - (len(columns) - 1) / 2)  # side by side, so that bars do not hide each other
        totals = [(i + shift, row, row.cells[column.condition]) for i, row in enumerate(rows)]
        bars = [(x, 100 * cell.total.low, 100 * cell.total.high) for x, _, cell in totals]
        plot.intervals(bars, colour(index))
        plot.dots(
            [
                (x, 100 * cell.total.rate, f"{row.name} at {column.label}: {cell_text(cell)} %")
                for x, row, cell in totals
            ],
            colour(index),
        )
    body = [[row.name, *(cell_text(row.cells[column.condition]) for column in columns)] for row in rows]
    names = [column.label for column in columns]
    return legend(names) + plot.svg() + table(["method", *names], body, css="number")
