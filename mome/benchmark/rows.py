"""One line of the performance table: two times, their ratio, and what it should reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["Ratio", "Row", "Target", "not_measured"]


@dataclass(frozen=True)
class Ratio:
    """Ratios of paired repetitions: their median, smallest and largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, numerators: Sequence[float], denominators: Sequence[float]) -> Ratio:
        """Divide repetition by repetition, so that a machine that slows down slows both sides."""
        ratios = [above / below for above, below in zip(numerators, denominators, strict=True)]
        return cls(median(ratios), min(ratios), max(ratios))


@dataclass(frozen=True)
class Target:
    """What a ratio should reach: at least ``low``, at most ``high``."""

    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is not None and self.high is not None:
            return f"{self.low:g} to {self.high:g}"
        return f"≥ {self.low:g}" if self.low is not None else f"≤ {self.high:g}"

    def reached(self, ratio: float) -> bool:
        """Tell whether the ratio lies within the bounds."""
        return (self.low is None or ratio >= self.low) and (self.high is None or ratio <= self.high)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        what: What was timed.
        before_s: Median time of what it is compared with, in seconds.
        after_s: Median time of this project's code, in seconds.
        ratio: None if it was not measured.
        target: None if the line only explains another one.
        note: Whatever a reader has to know to understand the line.
    """

    what: str
    before_s: float | None
    after_s: float | None
    ratio: Ratio | None
    target: Target | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """Say in one word whether the target was reached."""
        if self.ratio is None:
            return "not measured"
        if self.target is None:
            return ""
        return "reached" if self.target.reached(self.ratio.median) else "missed"


def not_measured(what: str, target: Target, why: str) -> Row:
    """Return a line without figures, so that nobody takes a gap for a success."""
    return Row(what, None, None, None, target, why)
