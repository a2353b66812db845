"""The pictures of what experts answer for, and of rates never trained: parts of the page of the routing."""

# Shape letters: V values of a factor, E routed experts.

from __future__ import annotations

import math
from html import escape

import numpy as np

from mome.evaluation.routing.association import Association
from mome.evaluation.routing.statistics import RoutingStatistics
from mome.reporting.charts import Axis, Plot, colour, legend, nice_ticks
from mome.reporting.page import Cell, table

__all__ = ["agreement", "answers"]

_WIDTH, _LEFT, _TOP, _BOTTOM, _ROW = 760, 110, 4, 36, 20  # pixels of the drawing, not of the screen
_MOST = 2.0  # doublings at which a colour is full: four times as often, or a quarter
_MORE, _LESS = "214 84 30", "0 103 165"
_GUIDE = """
<p>Of a token's modality, rate, phoneme or noise, so much is known from one expert that it chose: mutual
information, as a share of what there is to know; below it the bits, and at the end of a row those that as
many independent tokens without any association would show. Tokens of one clip are alike, so that a little
more than that is no finding. Noise is looked at in the tokens of sound, where every clip was heard at every
level. Phonemes lie where eSpeak NG puts them in each word, and a word where the aligner hears it; a coarse
token holds several, and counts for the one that fills most of it.</p>
"""


def answers(statistics: RoutingStatistics) -> str:
    """Return the table of what experts tell by layer, and a map of each factor where they tell most."""
    found = statistics.answers
    if not found:
        return ""
    layers = range(1, 1 + len(found[0].information_bits))
    rows = [
        [
            f"{each.factor} of {each.tokens} tokens",
            *(_told(each, bits) for bits in each.information_bits),
            f"{each.chance_bits:.4f}",
        ]
        for each in found
    ]
    head = ["what a token is", *(f"layer {layer}" for layer in layers), "chance, bits"]
    parts = ["<h2>What an expert answers for</h2>", _GUIDE, table(head, rows, css="number")]
    parts.append(
        "<p>Each map is of the layer that tells most. A row is a value, a column an expert, and the colour"
        " how many times as often as all of these tokens those of the value chose it. Experts stand in the"
        " order of what they answer for.</p>"
    )
    parts.append(_colours())
    parts += [f"<h3>{_heading(each)}</h3>{_map(each)}" for each in found]
    return "".join(parts)


def agreement(statistics: RoutingStatistics) -> str:
    """Return word errors over how far the routing of a scale lies from that of the nearest trained scale."""
    known = [each.scale for each in statistics.scales if each.scale in statistics.wer]
    trained = [each.scale for each in statistics.scales if each.scale not in statistics.untrained]
    if not statistics.untrained or not known or len(trained) < 2:
        return ""
    apart = {
        scale: min(statistics.distance[scale][other] for other in trained if other != scale)
        for scale in known
    }
    x_ticks = nice_ticks(max(apart.values()))
    y_ticks = nice_ticks(max(100 * statistics.wer[scale] for scale in known))
    plot = Plot(
        Axis(
            0, x_ticks[-1], [(tick, f"{tick:g}") for tick in x_ticks], "distance to the nearest trained scale"
        ),
        Axis(0, y_ticks[-1], [(tick, f"{tick:g} %") for tick in y_ticks], "word error rate, clean"),
        "Word error rate over the distance of the routing, trained scales and others",
    )
    names = ["trained", "never trained"]
    for scale in known:
        x, y = apart[scale], 100 * statistics.wer[scale]
        series = colour(int(scale in statistics.untrained))
        # A line of one point is its name.
        plot.line([(x, y)], series, name=scale)
        plot.dots([(x, y, f"{scale}: distance {x:.3f}, {y:.1f} %")], series)
    return (
        "<h2>Rates never trained</h2><p>Jensen–Shannon distance to the nearest other scale that was"
        " trained, mean over the layers, and the word error rate of the whole test split.</p>"
        + legend(names)
        + plot.svg()
    )


def _told(each: Association, bits: float) -> Cell:
    share = bits / each.entropy_bits
    return Cell(
        f'<td style="background:rgb({_MORE} / {0.75 * share**0.5:.2f})">{share:.1%}'
        f"<small>{bits:.3f}</small></td>"
    )


def _heading(each: Association) -> str:
    layer = int(np.argmax(each.information_bits)) + 1
    return escape(f"{each.factor} of {each.tokens} tokens, layer {layer}".capitalize())


def _map(each: Association) -> str:
    layer = int(np.argmax(each.information_bits))
    lift_VE = np.array(each.lift[layer])
    order = sorted(range(lift_VE.shape[1]), key=lambda e: (lift_VE[:, e].argmax(), -lift_VE[:, e].max()))
    width = (_WIDTH - _LEFT) / len(order)
    bottom = _TOP + _ROW * len(each.values)
    parts = []
    for row, (value, count) in enumerate(zip(each.values, each.num_tokens, strict=True)):
        y = _TOP + row * _ROW
        name = escape(value.replace("_", " "))
        parts.append(_text(_LEFT - 8, y + 0.7 * _ROW, "end", name))
        parts += [
            f'<rect x="{_LEFT + column * width:.1f}" y="{y}" width="{width - 1:.1f}" height="{_ROW - 1}"'
            f' style="fill:{_tint(lift_VE[row, expert])}"><title>{name}, expert {expert + 1}:'
            f" {lift_VE[row, expert]:.2f} times, {count:,} tokens</title></rect>"
            for column, expert in enumerate(order)
        ]
    every = -(-len(order) // 32)  # as many numbers as fit beside each other
    parts += [
        _text(_LEFT + (column + 0.5) * width, bottom + 14, "middle", str(order[column] + 1))
        for column in range(0, len(order), every)
    ]
    parts.append(_text((_LEFT + _WIDTH) / 2, bottom + 31, "middle", "routed expert"))
    return (
        f'<svg viewBox="0 0 {_WIDTH} {bottom + _BOTTOM}" role="img" aria-label="How many times as often as'
        f' all tokens those of each value chose an expert: {escape(each.factor)}">{"".join(parts)}</svg>'
    )


def _tint(lift: float) -> str:
    doublings = math.log2(lift) if lift > 0 else -_MOST
    strength = min(1.0, abs(doublings) / _MOST)
    return f"rgb({_MORE if doublings > 0 else _LESS} / {0.9 * strength:.3f})"


def _colours() -> str:
    marks = [
        (0.25, "a quarter as often, or less"),
        (1.0, "as often as all"),
        (4.0, "four times as often, or more"),
    ]
    items = (
        f'<span><i style="background:{_tint(lift)};border:1px solid var(--line)"></i>{text}</span>'
        for lift, text in marks
    )
    return f'<p class="legend">{"".join(items)}</p>'


def _text(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
