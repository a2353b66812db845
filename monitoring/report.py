"""The newest looks of the monitor for people: a page that shows each decision in its plot, and figures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from mome.records import ScaleDecision, level
from mome.reporting.charts import Axis, Plot, colour, legend, nice_ticks
from mome.reporting.report import Report
from mome.scales import Scale
from monitoring.journal import read_decisions

__all__ = ["describe", "page"]

_SHOWN = timedelta(days=1)
_ROWS = 50  # looks in the page's table
_SAID = {True: "yes, by estimated word errors", False: "no longer", None: "not known"}


def describe(state: Path, decision: ScaleDecision, path: Path) -> dict[str, float]:
    """Write the page of a look, and return its figures, flat.

    Args:
        state: Folder with the journal of decisions.
        decision: Of this look.
        path: HTML file to write.
    """
    looks = read_decisions(state / "decisions.jsonl", decision.at - _SHOWN) or [decision]
    _report(looks, decision).write(path)
    figures = {
        "requests": float(decision.requests),
        "switched": float(decision.switched),
        "drifted_features": float(len(decision.drifted)),
        "tokens_per_second": Scale.parse(decision.scale).tokens_per_second,
    }
    return figures if decision.snr_db is None else figures | {"snr_db": decision.snr_db}


def page(looks: list[ScaleDecision]) -> str:
    """Return the page of the newest of these looks, oldest first; it says so when there are none."""
    if looks:
        return _report(looks, looks[-1]).html()
    report = Report("Monitor: no look yet")
    report.say("Nothing was decided within the last day.")
    return report.html()


def _report(looks: list[ScaleDecision], decision: ScaleDecision) -> Report:
    said = "switched" if decision.switched else "stays"
    report = Report(f"Monitor: {said} {'to' if decision.switched else 'at'} {decision.scale}")
    report.verdict(not decision.drifted, said, decision.reason)
    report.facts(
        [
            ("served", decision.scale),
            ("before", decision.previous or "–"),
            ("measured noise", _decibel(decision.snr_db)),
            ("requests looked at", decision.requests),
            ("noise changed at", f"{decision.changed_at:%Y-%m-%d %H:%M:%S}" if decision.changed_at else "–"),
            ("the table describes the traffic", _SAID[decision.as_expected]),
            ("features that drifted", ", ".join(decision.drifted) or "none"),
            ("rules", f"version {decision.rule}" if decision.rule else "–"),
        ]
    )
    report.heading("Served scale over the last day")
    report.picture(_scales(looks))
    if any(look.max_wer is not None for look in looks):
        report.heading("Expected word errors of the served scale, estimated ones, and the promise")
        report.picture(legend(["expected", "estimated", "promised"]) + _rates(looks))
    report.heading("Newest looks")
    report.table(
        [
            "at",
            "before",
            "after",
            "cause",
            "noise",
            "load",
            "expected word errors",
            "estimated",
            "promised",
            "requests",
            "why",
        ],
        [_row(look) for look in reversed(looks[-_ROWS:])],
        numbers=False,
    )
    return report


def _row(look: ScaleDecision) -> list[str]:
    noise = sorted(
        ((key, share) for key, share in look.noise.items() if share >= 0.01), key=lambda item: -item[1]
    )
    return [
        f"{look.at:%Y-%m-%d %H:%M:%S}",
        look.previous or "–",
        look.scale,
        look.cause or "–",
        ", ".join(f"{share:.0%} {level(key)}" for key, share in noise[:3]) or _decibel(look.snr_db),
        _load(look),
        _by_scale(look.expected_wer),
        _by_scale(look.estimated_wer),
        "–" if look.max_wer is None else f"{look.max_wer:.1%}",
        str(look.requests),
        look.reason,
    ]


def _by_scale(rates: Mapping[str, float]) -> str:
    return ", ".join(f"{scale} {rate:.1%}" for scale, rate in rates.items()) or "–"


def _rates(looks: list[ScaleDecision]) -> str:
    seen = [look for look in looks if look.max_wer is not None and look.scale in look.expected_wer]
    first = looks[0].at
    minutes = [(look.at - first).total_seconds() / 60 for look in seen]
    rates = [100 * look.expected_wer[look.scale] for look in seen]
    promised = [100 * (look.max_wer or 0.0) for look in seen]
    told = [
        (minute, 100 * look.estimated_wer[scale], f"{look.at:%H:%M:%S}: {scale}, estimated")
        for minute, look in zip(minutes, seen, strict=True)
        if (scale := look.previous or look.scale) in look.estimated_wer
    ]
    ticks = nice_ticks(max([*rates, *promised, *(rate for _, rate, _ in told), 1.0]))
    plot = Plot(
        _time(looks),
        Axis(0.0, ticks[-1], [(tick, f"{tick:g}%") for tick in ticks], "word errors"),
        "Expected and estimated word error rate of the served scale over time, and what was promised",
        height=220,
    )
    plot.line(list(zip(minutes, promised, strict=True)), colour(2), step=True)
    plot.line(list(zip(minutes, rates, strict=True)), colour(0))
    if told:
        plot.line([(minute, rate) for minute, rate, _ in told], colour(1))
        plot.dots(told, colour(1), 2.5)
    plot.dots(
        [
            (x, y, f"{look.at:%H:%M:%S}: {look.reason}")
            for x, y, look in zip(minutes, rates, seen, strict=True)
        ],
        colour(0),
        2.5,
    )
    return plot.svg()


def _time(looks: list[ScaleDecision]) -> Axis:
    first, last = looks[0].at, max(1.0, (looks[-1].at - looks[0].at).total_seconds() / 60)
    return Axis(0, last, [(0, f"{first:%H:%M}"), (last, f"{looks[-1].at:%H:%M}")], "time, UTC")


def _scales(looks: list[ScaleDecision]) -> str:
    names = sorted({look.scale for look in looks}, key=lambda name: Scale.parse(name).tokens_per_second)
    height = {name: float(number) for number, name in enumerate(names, start=1)}
    first = looks[0].at
    points = [((look.at - first).total_seconds() / 60, height[look.scale]) for look in looks]
    plot = Plot(
        _time(looks),
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


def _load(look: ScaleDecision) -> str:
    if look.load is None:
        return "–"
    waits = "no caller" if look.load.p95_ms is None else f"p95 {look.load.p95_ms:.0f} ms"
    refused = f", {look.load.refused} refused" if look.load.refused else ""
    return f"{'busy' if look.load.busy else 'not busy'}, {waits}{refused}"


def _decibel(level: float | None) -> str:
    return "–" if level is None else f"{level:.1f} dB"
