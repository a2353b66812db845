"""The frame of every report: one self-contained HTML file, readable in light and dark, without scripts.

Reports travel as artifacts and are opened offline or in a sandboxed frame, so nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["Cell", "command", "facts", "page", "table", "verdict"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --muted: #5d6670; --line: #d9dee3; --paper: #ffffff;
  --panel: #f5f7f9; --good: #1a7f4b; --bad: #b3261e; --s0: #0067a5; --s1: #c2571a; --s2: #1b8a5a; --s3:
  #8f4fa8; --s4: #a17b00; --s5: #4d6b8a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --muted: #9aa4ae; --line: #363d45; --paper:
  #14181c; --panel: #1d2329; --good: #58c98d; --bad: #ff8a80; --s0: #6cb6f0; --s1: #f0955b; --s2: #5fcf9c;
  --s3: #cf9be3; --s4: #e0bb4a; --s5: #9db7d1; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem;
  margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .4rem; }
p { max-width: 48rem; }
p.muted, .muted { color: var(--muted); }
table { border-collapse: separate; border-spacing: 2px; margin: .6rem 0;
  font-variant-numeric: tabular-nums; }
th { font-weight: 600; color: var(--muted); text-align: left; padding: .35rem .7rem; }
td { padding: .35rem .7rem; background: var(--panel); border-radius: 3px; vertical-align: top; }
td small { display: block; color: inherit; opacity: .72; font-size: .78em; }
.number td:not(:first-child) { text-align: center; min-width: 4.6rem; }
.number thead th:not(:first-child) { text-align: center; }
.wide { width: 100%; }
.scroll { overflow-x: auto; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .6rem 0; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
pre { background: var(--panel); border-radius: 3px; padding: .6rem .9rem; margin: .6rem 0;
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: .87rem; }
.verdict { display: inline-block; font-weight: 600; padding: .15rem .7rem; border-radius: 1rem; border:
  1.5px solid; }
.good { color: var(--good); }
.bad { color: var(--bad); }
svg { display: block; width: 100%; height: auto; margin: .4rem 0; }
svg text { fill: var(--muted); font-size: 12px; }
svg .grid { stroke: var(--line); }
svg .band { fill: var(--panel); }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, 256px); gap: .8rem; margin: .6rem 0; }
.sheet figure { margin: 0; }
.sheet img { display: block; border-radius: 3px; }
.sheet figcaption { font-size: .8rem; overflow-wrap: anywhere; }
.legend span { margin-right: 1.2rem; white-space: nowrap; }
.legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: 50%; margin-right: .4rem;
  vertical-align: -1px; }
"""


class Cell(str):
    """A cell of a table that is HTML already, ``<td>`` included; any other text is escaped."""


def page(title: str, body: str) -> str:
    """Return a whole document.

    Args:
        title: Plain text.
        body: HTML; whoever writes it has escaped what is not their own.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<link rel="icon" href="data:,">\n<style>{_STYLE}</style>\n</head>\n'
        f"<body>\n<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Return name and value pairs, one per line."""
    return "<dl>" + "".join(f"<dt>{escape(n)}</dt><dd>{escape(str(v))}</dd>" for n, v in pairs) + "</dl>"


def verdict(good: bool, text: str) -> str:
    """Return a word that says at a glance how it went."""
    return f'<span class="verdict {"good" if good else "bad"}">{escape(text)}</span>'


def command(text: str) -> str:
    """Return lines to copy, as they are."""
    return f"<pre><code>{escape(text)}</code></pre>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, css: str = "") -> str:
    """Return a table.

    Args:
        head: Column names.
        rows: Cells, text or `Cell`, as many per row as there are column names; the first names the row.
        css: Class of the table: ``number`` centres all but the first column, ``wide`` fills the page.
    """
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    lines = []
    for first, *rest in rows:
        cells = "".join(cell if isinstance(cell, Cell) else f"<td>{escape(cell)}</td>" for cell in rest)
        lines.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    return (
        f'<div class="scroll"><table class="{css}"><thead><tr>{names}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
