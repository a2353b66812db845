"""The newest looks of the monitor for people: page and figures from its journal."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from mome.records import ScaleDecision
from mome.reporting.charts import Axis, Plot, colour
from mome.reporting.report import Report
from mome.scales import Scale
from monitoring.journal import read_decisions

__all__ = ["describe"]

_SHOWN = timedelta(days=1)
_ROWS = 50  # looks in the page's table


def describe(state: Path, decision: ScaleDecision, page: Path) -> dict[str, float]:
    """Write the page of a look, and return its figures, flat.

    Args:
        state: Folder with the journal of decisions.
        decision: Of this look.
        page: HTML file to write.
    """
    looks = read_decisions(state / "decisions.jsonl", decision.at - _SHOWN) or [decision]
    said = "switched" if decision.switched else "stays"
    report = Report(f"Monitor: {said} {'to' if decision.switched else 'at'} {decision.scale}")
    report.verdict(not decision.drifted, said, decision.reason)
    report.facts(
        [
            ("served", decision.scale),
            ("before", decision.previous or "–"),
            ("measured noise", _decibel(decision.snr_db)),
            ("requests looked at", decision.requests),
            ("features that drifted", ", ".join(decision.drifted) or "none"),
        ]
    )
    report.heading("Served scale over the last day")
    report.picture(_scales(looks))
    shown = [
        [f"{look.at:%Y-%m-%d %H:%M:%S}", look.scale, _decibel(look.snr_db), str(look.requests), look.reason]
        for look in reversed(looks[-_ROWS:])
    ]
    report.heading("Newest looks")
    report.table(["at", "scale", "noise", "requests", "why"], shown, numbers=False)
    report.write(page)
    figures = {
        "requests": float(decision.requests),
        "switched": float(decision.switched),
        "drifted_features": float(len(decision.drifted)),
        "tokens_per_second": Scale.parse(decision.scale).tokens_per_second,
    }
    return figures if decision.snr_db is None else figures | {"snr_db": decision.snr_db}


def _scales(looks: list[ScaleDecision]) -> str:
    names = sorted({look.scale for look in looks}, key=lambda name: Scale.parse(name).tokens_per_second)
    height = {name: float(number) for number, name in enumerate(names, start=1)}
    first = looks[0].at
    points = [((look.at - first).total_seconds() / 60, height[look.scale]) for look in looks]
    last = max(1.0, points[-1][0])
    plot = Plot(
        Axis(0, last, [(0, f"{first:%H:%M}"), (last, f"{looks[-1].at:%H:%M}")], "time, UTC"),
        Axis(0.5, len(names) + 0.5, [(height[name], name) for name in names], "finer upwards"),
        "Served scale over time",
        height=90 + 40 * len(names),
    )
    plot.line(points, colour(0), step=True)
    plot.dots(
        [(x, y, f"{look.at:%H:%M:%S}: {look.reason}") for (x, y), look in zip(points, looks, strict=True)],
        colour(0),
        2.5,
    )
    return plot.svg()


def _decibel(level: float | None) -> str:
    return "–" if level is None else f"{level:.1f} dB"
