"""What the numbers say, in sentences that follow from them by rule, and nothing that they do not carry.

A difference is told only if its paired interval leaves out zero and every seed shows the same sign.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mome.compare.records import Comparison, Gap, Row, cell_key
from mome.methods import METHODS
from mome.scales import Scale

__all__ = ["Labelled", "clean_conditions", "listed", "noisy_conditions", "pair", "sentences"]


_LOUD = "0"  # dB: the noise in which the papers compare


class Labelled(NamedTuple):
    """A condition and how it is printed."""

    condition: str
    label: str


def pair(scale: str) -> str:
    """Return a scale as the papers print it: audio rate, video rate."""
    parsed = Scale.parse(scale)
    return f"({parsed.audio_rate},{parsed.video_rate})"


def clean_conditions(comparison: Comparison) -> list[Labelled]:
    """Return the columns of the first table."""
    return [Labelled(cell_key(scale, "clean"), pair(scale)) for scale in comparison.scales]


def noisy_conditions(comparison: Comparison, scale: str) -> list[Labelled]:
    """Return the columns of the second table at one scale."""
    return [Labelled(cell_key(scale, snr), f"{snr} dB") for snr in comparison.snrs]


def sentences(comparison: Comparison) -> dict[str, list[str]]:
    """Return sentences under their headings."""
    clean = clean_conditions(comparison)
    said = {"Lowest word error rate by rate pair": [_lowest(comparison, at) for at in clean]}
    said["Method against method, clean speech"] = [
        _against(comparison, first, second, clean) for first, second in _questions(comparison.rows)
    ]
    said["The paper's claims, here"] = _claims(comparison)
    for scale in comparison.scales:
        said[f"Lowest word error rate by noise at {pair(scale)}"] = [
            _lowest(comparison, at) for at in noisy_conditions(comparison, scale)
        ]
    said["How much of it is chance"] = [_chance(comparison)]
    return {heading: lines for heading, lines in said.items() if lines}


def _lowest(comparison: Comparison, at: Labelled) -> str:
    least = min(row.cells[at.condition].total.rate for row in comparison.rows)
    best = [row for row in comparison.rows if row.cells[at.condition].total.rate == least]
    others = [row for row in comparison.rows if row.cells[at.condition].total.rate > least]
    verbs = "has" if len(best) == 1 else "have"
    text = f"At {at.label}: {_names(best)} {verbs} the lowest rate, {least:.1%}."
    # Against all that share the lowest rate: one of them may be told apart from it and another not.
    worse = [
        row for row in others if all(_verdict(comparison, row, first, at.condition) == 1 for first in best)
    ]
    alike = [row for row in others if row.method not in {each.method for each in worse}]
    if worse:
        text += f" Higher beyond the interval: {_names(worse)}."
    if alike:
        text += f" Not told apart from it: {_names(alike)}."
    return text


def _questions(rows: Sequence[Row]) -> Iterator[tuple[Row, Row]]:
    """Yield the comparisons that the papers draw: joint or one model per pair; experts or LoRA."""
    by_name = {row.method: row for row in rows}
    for joint, alone in (("mtsk-ms", "llama-avsr"), ("mome-mhsa", "mome-mhsa-i")):
        if joint in by_name and alone in by_name:
            yield by_name[joint], by_name[alone]
    for first in rows:
        for second in rows:
            if METHODS[first.method].experts is not None and METHODS[second.method].lora:
                yield first, second


def _claims(comparison: Comparison) -> list[str]:
    """What the paper says of its method against the one before it, and whether it is so here."""
    by_name = {row.method: row for row in comparison.rows}
    mome = by_name.get("mome-layer")
    said = []
    for rival in (by_name[name] for name in ("mtsk-ss", "mtsk-mss") if name in by_name):
        if mome is None:
            continue
        columns = _clean_and_loud(comparison)
        found = {at.condition: _verdict(comparison, mome, rival, at.condition) for at in columns}
        worse = [at.label for at in columns if found[at.condition] == 1]
        behind = f"It is behind at {listed(worse)}." if worse else "It is behind nowhere."
        coarse = [at for at in columns if at.condition.startswith(f"a{_coarsest(comparison)}v")]
        ahead = [at.label for at in coarse if found[at.condition] == -1]
        rest = [at.label for at in coarse if found[at.condition] != -1]
        if not ahead:
            told = f"Ahead at the coarse pairs, as the paper has it, it is nowhere: {listed(rest)}."
        elif rest:
            told = f"Of the coarse pairs, where the paper has it ahead, it is so at {listed(ahead)} alone."
        else:
            told = f"Ahead at the coarse pairs it is, as the paper has it: {listed(ahead)}."
        said.append(f"{mome.name} against {rival.name}, clean and at {_LOUD} dB: {behind} {told}")
    return said


def _clean_and_loud(comparison: Comparison) -> list[Labelled]:
    loud = [
        Labelled(cell_key(scale, _LOUD), f"{pair(scale)} {_LOUD} dB")
        for scale in comparison.scales
        if _LOUD in comparison.snrs
    ]
    return [*clean_conditions(comparison), *loud]


def _coarsest(comparison: Comparison) -> int:
    return max(Scale.parse(scale).audio_rate for scale in comparison.scales)


def _against(comparison: Comparison, first: Row, second: Row, columns: Sequence[Labelled]) -> str:
    found: dict[int, list[str]] = {-1: [], 1: [], 0: []}
    for at in columns:
        found[_verdict(comparison, first, second, at.condition)].append(at.label)
    words = {-1: "fewer errors", 1: "more errors", 0: "not told apart"}
    parts = [f"{words[verdict]} at {listed(labels)}" for verdict, labels in found.items() if labels]
    return f"{first.name} against {second.name}: {'; '.join(parts)}."


def _verdict(comparison: Comparison, first: Row, second: Row, condition: str) -> int:
    for gap in comparison.gaps:
        if gap.condition == condition and {gap.first, gap.second} == {first.method, second.method}:
            return gap.verdict if gap.first == first.method else -gap.verdict
    raise KeyError(f"{first.method} and {second.method} at {condition}")


def _chance(comparison: Comparison) -> str:
    told: list[Gap] = [gap for gap in comparison.gaps if gap.verdict]
    number = len(comparison.gaps)
    text = (
        f"Of {number} differences between two methods in the tables, {len(told)} are told. "
        f"If no two methods differed, about {number * 0.05:.0f} intervals of 95 % would leave out zero by "
        "chance."
    )
    if len(comparison.seeds) == 1:
        text += " There is one seed: what another seed would give is not known."
    return text


def _names(rows: Sequence[Row]) -> str:
    return listed([row.name for row in rows])


def listed(words: Sequence[str]) -> str:
    """Return words as a sentence has them: ``one, two and three``."""
    *some, last = words
    return f"{', '.join(some)} and {last}" if some else last
