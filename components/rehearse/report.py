"""The picture of a rehearsal: served scale, measured noise and latency, request by request."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from pathlib import Path

from mome.records import PlayedRequest, Rehearsal
from mome.reporting.charts import Axis, Plot, colour, legend, nice_ticks
from mome.reporting.page import facts, page, table, verdict
from mome.scales import Scale
from mome.storage import write_text

__all__ = ["write_report"]

_GUIDE = """
<p>Held-out clips were sent to the packaged service over HTTP, one after the other: first clean, then with
other voices mixed in, then clean again. The monitor looked at the request log every few requests and chose
the cheapest scale whose expected word error rate in the noise of its window keeps the promise to callers
(<code>monitor.max_wer</code>). Dashed lines are its switches.</p>
"""


def write_report(rehearsal: Rehearsal, check_every: int, path: Path) -> None:
    """Write one self-contained HTML file.

    Args:
        rehearsal: What happened.
        check_every: Requests between two looks of the monitor.
        path: File to write, whole or not at all.
    """
    counts = rehearsal.requests
    head = facts(
        [
            ("corpus", rehearsal.corpus),
            ("revision", rehearsal.revision),
            ("noise of the middle phase", f"babble at {rehearsal.snr_db:g} dB"),
            ("requests", f"{counts.sent} sent, {counts.answered} answered, {counts.lost} lost"),
        ]
    )
    said = verdict(
        counts.lost == 0, "no request lost" if counts.lost == 0 else f"{counts.lost} requests lost"
    )
    switches = verdict(True, f"{len(rehearsal.switches)} switches of the scale")
    scales = _scales(rehearsal)
    parts = [
        f"<p>{said} {switches}</p>{head}{_GUIDE}",
        "<h2>Served scale</h2>" + _served(rehearsal, scales, check_every),
        "<h2>Measured noise</h2>" + _noise(rehearsal, scales, check_every),
        "<h2>Latency</h2>" + _latency(rehearsal, scales, check_every),
        "<h2>Switches</h2>" + _switches(rehearsal),
        "<h2>Word errors of the answers</h2>" + _word_errors(rehearsal),
        "<h2>Every look of the monitor</h2>" + _looks(rehearsal, check_every),
    ]
    write_text(path, page(f"Rehearsal on {rehearsal.corpus}", "\n".join(parts)))


def _scales(rehearsal: Rehearsal) -> list[str]:
    """Return the scales that were served or decided on, finest first."""
    names = {request.scale for request in rehearsal.played if request.scale is not None}
    names |= {decision.scale for decision in rehearsal.decisions}
    return sorted(names, key=lambda scale: -Scale.parse(scale).tokens_per_second)


def _plot(rehearsal: Rehearsal, y: Axis, label: str, check_every: int, height: int) -> Plot:
    """Return an empty drawing over request numbers, with the phases and the switches marked."""
    last = len(rehearsal.played)
    step = nice_ticks(last)[1]
    ticks = [(number, str(number)) for number in range(int(step), last + 1, max(1, int(step)))]
    plot = Plot(Axis(0.5, last + 0.5, ticks, "request"), y, label, height)
    for index, (phase, group) in enumerate(groupby(rehearsal.played, key=lambda request: request.phase)):
        numbers = [request.number for request in group]
        plot.span(numbers[0] - 0.5, numbers[-1] + 0.5, phase, shaded=index % 2 == 1)
    for look, decision in enumerate(rehearsal.decisions):
        if decision.switched:
            plot.rule(look * check_every + 0.5, decision.reason)
    return plot


def _served(rehearsal: Rehearsal, scales: list[str], check_every: int) -> str:
    height = {scale: float(len(scales) - index) for index, scale in enumerate(scales)}
    axis = Axis(0.5, len(scales) + 0.5, [(height[scale], scale) for scale in scales], "finer upwards")
    plot = _plot(rehearsal, axis, "Served scale over requests", check_every, 110 + 40 * len(scales))
    answered = [(request, request.scale) for request in rehearsal.played if request.scale is not None]
    plot.line([(request.number, height[scale]) for request, scale in answered], colour(0), step=True)
    plot.dots(
        [(r.number, height[scale], f"request {r.number}: {scale}") for r, scale in answered], colour(0), 2.5
    )
    return plot.svg()


def _noise(rehearsal: Rehearsal, scales: list[str], check_every: int) -> str:
    levels = [request.snr_db for request in rehearsal.played if request.snr_db is not None]
    if not levels:
        return "<p>No noise was measured: no clip held audible speech.</p>"
    low, high = 10 * (min(levels) // 10), 10 * (max(levels) // 10 + 1)
    axis = Axis(low, high, [(v, f"{v:g} dB") for v in range(int(low), int(high) + 1, 10)], "estimated SNR")
    plot = _plot(rehearsal, axis, "Estimated signal-to-noise ratio over requests", check_every, 260)
    _dots(plot, rehearsal, scales, lambda request: request.snr_db, "dB")
    medians = [
        (look * check_every, decision.snr_db)
        for look, decision in enumerate(rehearsal.decisions)
        if decision.snr_db is not None
    ]
    plot.line(medians, "var(--ink)", name="median")
    return legend(scales) + plot.svg()


def _latency(rehearsal: Rehearsal, scales: list[str], check_every: int) -> str:
    ticks = nice_ticks(max(request.latency_ms for request in rehearsal.played))
    axis = Axis(0, ticks[-1], [(tick, f"{tick:g} ms") for tick in ticks], "latency at the client")
    plot = _plot(rehearsal, axis, "Latency over requests", check_every, 240)
    _dots(plot, rehearsal, scales, lambda request: request.latency_ms, "ms")
    rows = [
        [scale, f"{latency.p50:.0f} ms", f"{latency.p95:.0f} ms", str(latency.requests)]
        for scale, latency in rehearsal.latency_ms.items()
    ]
    return plot.svg() + table(["scale", "median", "95th percentile", "requests"], rows, css="number")


def _dots(
    plot: Plot,
    rehearsal: Rehearsal,
    scales: list[str],
    value: Callable[[PlayedRequest], float | None],
    unit: str,
) -> None:
    """Draw one value per answered request in the colour of the scale that answered it."""
    for index, scale in enumerate(scales):
        points = [(r, value(r)) for r in rehearsal.played if r.scale == scale]
        plot.dots(
            [
                (r.number, v, f"request {r.number}, {scale}: {v:.1f} {unit}")
                for r, v in points
                if v is not None
            ],
            colour(index),
            3,
        )


def _switches(rehearsal: Rehearsal) -> str:
    if not rehearsal.switches:
        return "<p>The scale stayed as it was.</p>"
    rows = [
        [f"{switch.at:%H:%M:%S}", switch.from_scale, switch.to_scale, _decibel(switch.snr_db), switch.reason]
        for switch in rehearsal.switches
    ]
    return table(["at", "from", "to", "measured", "reason"], rows, css="wide")


def _word_errors(rehearsal: Rehearsal) -> str:
    rows = [
        [phase, f"{cell.rate:.1%}", f"{cell.low:.1%} to {cell.high:.1%}", f"{cell.errors} / {cell.words}"]
        for phase, cell in rehearsal.wer.items()
    ]
    return table(["phase", "word error rate", "95 %", "edits / words"], rows, css="number")


def _looks(rehearsal: Rehearsal, check_every: int) -> str:
    rows = [
        [
            str(look * check_every),
            decision.scale,
            _decibel(decision.snr_db),
            ", ".join(decision.drifted) or "–",
            decision.reason,
        ]
        for look, decision in enumerate(rehearsal.decisions)
    ]
    return table(["after request", "scale", "median", "drifted features", "decision"], rows, css="wide")


def _decibel(level: float | None) -> str:
    return "–" if level is None else f"{level:.1f} dB"
