"""Inline SVG for reports: axes, lines, dots, intervals and shaded spans. Colours come from the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Axis", "Plot", "colour", "legend", "nice_ticks"]

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 64, 86, 18, 42  # pixels of the drawing, not of the screen


def colour(index: int) -> str:
    """Return the CSS colour of the ``index``-th series."""
    return f"var(--s{index % 6})"


def legend(names: Sequence[str]) -> str:
    """Return the names of the series, each beside its colour."""
    items = (
        f'<span><i style="background:{colour(i)}"></i>{escape(name)}</span>' for i, name in enumerate(names)
    )
    return f'<p class="legend">{"".join(items)}</p>'


def nice_ticks(high: float, most: int = 6) -> list[float]:
    """Return round numbers from 0 to at least ``high``: steps of 1, 2 or 5 times a power of ten."""
    if high <= 0:
        return [0.0, 1.0]
    step = 10.0**-6
    factors = (2.0, 2.5, 2.0)
    turn = 0
    while high / step > most:
        step *= factors[turn % 3]
        turn += 1
    count = int(-(-high // step))
    return [step * number for number in range(count + 1)]


@dataclass(frozen=True)
class Axis:
    """One axis: its range, where it is marked, and what it shows."""

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    title: str


class Plot:
    """A drawing with two axes; what is drawn later lies on top.

    Args:
        x: Horizontal axis.
        y: Vertical axis.
        label: What a screen reader says.
        height: Of the drawing, in pixels at a width of 760.
    """

    def __init__(self, x: Axis, y: Axis, label: str, height: int = 280) -> None:
        self._x, self._y, self._height, self._label = x, y, height, label
        self._spans: list[str] = []
        self._marks: list[str] = []

    def span(self, low: float, high: float, text: str, *, shaded: bool) -> None:
        """Mark a stretch of the horizontal axis, with its name on top."""
        left, right = self._at_x(low), self._at_x(high)
        if shaded:
            size = f'width="{right - left:.1f}" height="{self._inner:.1f}"'
            self._spans.append(f'<rect class="band" x="{left:.1f}" y="{_TOP}" {size}/>')
        self._spans.append(_text((left + right) / 2, _TOP - 5, "middle", text))

    def line(
        self, points: Sequence[tuple[float, float]], stroke: str, *, name: str = "", step: bool = False
    ) -> None:
        """Connect points ``(x, y)``; ``step`` keeps a value until the next. ``name`` stands at the end."""
        if not points:
            return
        corners = list(points)
        if step:
            corners = [points[0]]
            for x, y in points[1:]:
                corners += [(x, corners[-1][1]), (x, y)]
        path = " ".join(f"{self._at_x(x):.1f},{self._at_y(y):.1f}" for x, y in corners)
        pen = f'stroke="{stroke}" stroke-width="2" stroke-linejoin="round" fill="none"'
        self._marks.append(f'<polyline points="{path}" {pen}/>')
        if name:
            x, y = points[-1]
            self._marks.append(_text(self._at_x(x) + 10, self._at_y(y) + 4, "start", name))

    def dots(self, points: Iterable[tuple[float, float, str]], fill: str, radius: float = 4) -> None:
        """Draw points ``(x, y, what is said when the pointer rests on it)``."""
        for x, y, title in points:
            self._marks.append(
                f'<circle cx="{self._at_x(x):.1f}" cy="{self._at_y(y):.1f}" r="{radius:g}" fill="{fill}">'
                f"<title>{escape(title)}</title></circle>"
            )

    def intervals(self, points: Iterable[tuple[float, float, float]], stroke: str) -> None:
        """Draw ``(x, low, high)`` as upright bars."""
        for x, low, high in points:
            at, top, bottom = self._at_x(x), self._at_y(high), self._at_y(low)
            self._marks.append(
                f'<path d="M{at:.1f} {top:.1f}V{bottom:.1f}m-4 0h8M{at - 4:.1f} {top:.1f}h8"'
                f' stroke="{stroke}" stroke-width="1.5" fill="none" opacity=".7"/>'
            )

    def rule(self, x: float, text: str) -> None:
        """Draw an upright dashed line with something to say when the pointer rests on it."""
        at = self._at_x(x)
        self._marks.append(
            f'<path d="M{at:.1f} {_TOP}v{self._inner:.1f}" stroke="var(--ink)" stroke-dasharray="4 3">'
            f"<title>{escape(text)}</title></path>"
        )

    def svg(self) -> str:
        """Return the drawing."""
        return (
            f'<svg viewBox="0 0 {_WIDTH} {self._height}" role="img" aria-label="{escape(self._label)}">'
            f"{''.join(self._spans)}{self._grid()}{''.join(self._marks)}</svg>"
        )

    @property
    def _inner(self) -> float:
        return self._height - _TOP - _BOTTOM

    def _at_x(self, x: float) -> float:
        return _LEFT + (x - self._x.low) / (self._x.high - self._x.low) * (_WIDTH - _LEFT - _RIGHT)

    def _at_y(self, y: float) -> float:
        return _TOP + (self._y.high - y) / (self._y.high - self._y.low) * self._inner

    def _grid(self) -> str:
        bottom = self._height - _BOTTOM
        parts = []
        for value, text in self._y.ticks:
            y = self._at_y(value)
            parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
            parts.append(_text(_LEFT - 8, y + 4, "end", text))
        for value, text in self._x.ticks:
            parts.append(_text(self._at_x(value), bottom + 17, "middle", text))
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        parts.append(_text(middle, self._height - 6, "middle", self._x.title))
        upright = f"translate(14 {_TOP + self._inner / 2:.1f}) rotate(-90)"
        parts.append(f'<g transform="{upright}">{_text(0, 0, "middle", self._y.title)}</g>')
        return "".join(parts)


def _text(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
