"""The picture of the routing: a heat map per scale and the distances between them, in one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from mome.evaluation.routing.answers_report import agreement, answers
from mome.evaluation.routing.statistics import Distance, RoutingStatistics, ScaleRouting
from mome.records import MODALITY_NAMES
from mome.reporting.page import Cell, facts, page, table
from mome.storage import write_text

__all__ = ["write_report"]

_WIDTH, _LEFT, _TOP, _BOTTOM, _ROW = 460, 58, 4, 36, 22  # pixels of the drawing, not of the screen
_STRONGEST = 0.9  # opacity of the largest share
_GUIDE = """
<p>A row is a layer of the language model, a column one of its routed experts, and a cell the share of the
layer's selections that went to the expert: a row sums to 100 %. All maps have the same colours. The router
was never told the scale. Experts are numbered anew in every layer: expert 3 of one layer and of the next are
different networks. The distance between layers only says how far apart unrelated choices are; it is what the
distance between scales is to be compared with. Every token counts, whether of sound, lips, prompt or text;
scales differ in the mix of these, which is a part of their distance.</p>
"""


def write_report(statistics: RoutingStatistics, path: Path) -> None:
    """Write the report to an HTML file, whole or not at all."""
    shares = statistics.scales[0].tokens_per_expert
    strongest = max(share for each in statistics.scales for row in each.tokens_per_expert for share in row)
    head = facts(
        [
            ("corpus", statistics.corpus),
            ("revision", statistics.revision),
            ("test utterances", f"{statistics.utterances}, clean, {MODALITY_NAMES[statistics.modality]}"),
            ("routed experts", f"{len(shares[0])} in each of {len(shares)} layers"),
        ]
    )
    maps = "".join(
        f"<div>{_heat_map(each, strongest, trained=each.scale not in statistics.untrained)}</div>"
        for each in statistics.scales
    )
    columns = "repeat(auto-fit, minmax(min(24rem, 100%), 1fr))"
    body = [
        f"<p><b>{escape(_first(statistics))}</b></p>",
        head,
        _GUIDE,
        _colours(strongest, 1 / len(shares[0])),
        f'<div style="display:grid;grid-template-columns:{columns};gap:.6rem 1.6rem">{maps}</div>',
        "<h2>How far apart the scales are</h2>",
        "<p>Jensen–Shannon distance, mean over the layers: 0 is the same use of the experts, 1 is no expert"
        " in common. A cell is coloured the stronger the nearer it comes to the distance between layers.</p>",
        _matrix(statistics),
        _summary(statistics),
        agreement(statistics),
        answers(statistics),
    ]
    write_text(path, page(f"Routing on {statistics.corpus}", "\n".join(body)))


def _first(statistics: RoutingStatistics) -> str:
    """Return what to see first, in one sentence, from the numbers."""
    scales, layers = statistics.between_scales, statistics.between_layers
    if scales is None:
        return "There is a single scale to look at, so no agreement between scales."
    apart = f"the distance between two scales is {scales.mean:.3f} on average"
    if layers is None:
        return f"In the only layer {apart}; there is no distance between layers to compare it with."
    alike = (
        "Row by row the maps look alike"
        if scales.mean < layers.mean
        else "The maps do not look alike row by row"
    )
    return f"{alike}: in the same layer {apart}, between two layers of the same scale {layers.mean:.3f}."


def _heat_map(routing: ScaleRouting, strongest: float, *, trained: bool) -> str:
    shares = routing.tokens_per_expert
    width = (_WIDTH - _LEFT) / len(shares[0])
    bottom = _TOP + _ROW * len(shares)
    every = -(-len(shares[0]) // 16)  # as many numbers as fit beside each other
    parts = []
    for layer, row in enumerate(shares):
        y = _TOP + layer * _ROW
        parts.append(_text(_LEFT - 8, y + 0.7 * _ROW, "end", f"layer {layer + 1}"))
        parts += [
            f'<rect x="{_LEFT + expert * width:.1f}" y="{y}" width="{width - 1:.1f}" height="{_ROW - 1}"'
            f' style="fill:{_tint(share, strongest)}"><title>{routing.scale}, layer {layer + 1}, expert'
            f" {expert + 1}: {share:.1%}</title></rect>"
            for expert, share in enumerate(row)
        ]
    parts += [
        _text(_LEFT + (expert + 0.5) * width, bottom + 14, "middle", str(expert + 1))
        for expert in range(0, len(shares[0]), every)
    ]
    parts.append(_text((_LEFT + _WIDTH) / 2, bottom + 31, "middle", "routed expert"))
    return (
        f'<p><b>{routing.scale}</b> <span class="muted">{routing.tokens:,} tokens'
        f"{'' if trained else ', never trained'}</span></p>"
        f'<svg viewBox="0 0 {_WIDTH} {bottom + _BOTTOM}" role="img" aria-label="Share of the selections per'
        f' layer and expert at {routing.scale}">{"".join(parts)}</svg>'
    )


def _tint(share: float, strongest: float) -> str:
    return f"rgb(214 84 30 / {_STRONGEST * share / strongest:.3f})"


def _colours(strongest: float, even: float) -> str:
    """Return the key of the colours: nothing, an even share, and the largest of all maps."""
    marks = [(0.0, "never chosen"), (even, f"{even:.1%}, an even share"), (strongest, f"{strongest:.1%}")]
    items = (
        f'<span><i style="background:{_tint(share, strongest)};border:1px solid var(--line)"></i>'
        f"{text}</span>"
        for share, text in marks
    )
    return f'<p class="legend">{"".join(items)}</p>'


def _matrix(statistics: RoutingStatistics) -> str:
    names = [each.scale for each in statistics.scales]
    full = 1.0 if statistics.between_layers is None else statistics.between_layers.mean
    rows = [
        [one, *("–" if one == other else _cell(statistics.distance[one][other], full) for other in names)]
        for one in names
    ]
    return table(["scale", *names], rows, css="number")


def _cell(distance: float, full: float) -> Cell:
    strength = 0.75 * (min(1.0, distance / full) if full else 1.0)
    return Cell(f'<td style="background:rgb(214 84 30 / {strength:.2f})">{distance:.3f}</td>')


def _summary(statistics: RoutingStatistics) -> str:
    rows: Sequence[tuple[str, Distance | None]] = [
        ("two scales, same layer", statistics.between_scales),
        ("two layers, same scale", statistics.between_layers),
    ]
    body = [[name, f"{d.mean:.3f}", f"{d.max:.3f}", d.between] for name, d in rows if d is not None]
    return table(["distance between", "mean", "largest", "found for"], body) if body else ""


def _text(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
