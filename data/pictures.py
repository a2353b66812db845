"""What every report of a corpus shows alike: its splits and speakers, how its recordings are distributed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import get_args

from mome.records import Split, Utterance
from mome.reporting.charts import Axis, Plot, colour, legend, nice_ticks

__all__ = ["SPLITS_HEAD", "count_speakers", "durations", "noise", "split_rows"]

SPLITS_HEAD = ("split", "recordings", "usable", "minutes", "speakers")
_BINS = 24


def split_rows(utterances: Sequence[Utterance]) -> list[list[str]]:
    """Return a row for each split under the columns `SPLITS_HEAD`; minutes are of usable recordings."""
    rows = []
    for split in get_args(Split):
        members = [row for row in utterances if row.split == split]
        usable = [row for row in members if row.decodable]
        minutes = sum(row.duration_s for row in usable) / 60
        speakers = len({row.speaker for row in members})
        rows.append([split, str(len(members)), str(len(usable)), f"{minutes:.1f}", str(speakers)])
    return rows


def count_speakers(members: Iterable[tuple[str, str]], *, disjoint: bool) -> str:
    """Return how many speakers there are, and how many of them are heard in several splits.

    Args:
        members: Split and speaker of every recording.
        disjoint: The corpus promises that there are none of the latter.
    """
    splits = Counter(speaker for _, speaker in set(members))
    several = sum(count > 1 for count in splits.values())
    found = {len(splits): "all", 0: "none"}.get(several, str(several))
    promise = ", as the corpus promises" if disjoint and not several else ""
    return f"{len(splits)}, {found} of them in more than one split{promise}"


def durations(utterances: Sequence[Utterance]) -> str:
    """Return a histogram of how long the usable recordings are, as HTML."""
    usable = [row for row in utterances if row.decodable]
    return _histogram(usable, lambda row: row.duration_s, "duration in seconds")


def noise(utterances: Sequence[Utterance]) -> str:
    """Return a histogram of how clean the usable recordings are, as HTML."""
    measured = [row for row in utterances if row.decodable and row.snr_db]
    return _histogram(measured, lambda row: row.snr_db, "estimated signal-to-noise ratio in dB")


def _histogram(utterances: Sequence[Utterance], value: Callable[[Utterance], float], title: str) -> str:
    """Return one outline per split: the share of its recordings in every bin."""
    if not utterances:
        return '<p class="muted">nothing could be measured</p>'
    low, high = min(0.0, *map(value, utterances)), max(map(value, utterances))
    ticks = nice_ticks(high - low)
    width = ticks[-1] / _BINS
    splits = [split for split in get_args(Split) if any(utterance.split == split for utterance in utterances)]
    outlines: list[list[float]] = []
    for split in splits:
        members = [utterance for utterance in utterances if utterance.split == split]
        counts = [0] * _BINS
        for utterance in members:
            counts[min(_BINS - 1, int((value(utterance) - low) / width))] += 1
        outlines.append([100 * count / len(members) for count in counts])
    shares = nice_ticks(max(map(max, outlines)))
    plot = Plot(
        Axis(low, low + ticks[-1], [(low + tick, f"{low + tick:g}") for tick in ticks], title),
        Axis(0, shares[-1], [(share, f"{share:g} %") for share in shares], "recordings"),
        f"{title}: share of recordings per split",
        height=220,
    )
    for index, outline in enumerate(outlines):
        points = [(low + number * width, share) for number, share in enumerate(outline)]
        plot.line([(low, 0.0), *points, (low + ticks[-1], 0.0)], colour(index), step=True)
    return legend(splits) + plot.svg()
