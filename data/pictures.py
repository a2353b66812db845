"""What every report of a corpus shows alike: its splits and speakers, how its recordings are distributed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, get_args

from mome.records import Split
from mome.reporting.charts import Axis, Plot, colour, legend, nice_ticks

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SPLITS_HEAD", "count_speakers", "durations", "noise", "split_rows"]

SPLITS_HEAD = ("split", "recordings", "usable", "minutes", "speakers")
_BINS = 24


def split_rows(manifest: pd.DataFrame) -> list[list[str]]:
    """Return a row for each split under the columns `SPLITS_HEAD`; minutes are of usable recordings."""
    rows = []
    for split in get_args(Split):
        members = manifest[manifest["split"] == split]
        usable = members[members["decodable"]]
        minutes = usable["duration_s"].sum() / 60
        speakers = members["speaker"].nunique()
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


def durations(manifest: pd.DataFrame) -> str:
    """Return a histogram of how long the usable recordings are, as HTML."""
    usable = manifest[manifest["decodable"]]
    return _histogram(usable["split"], usable["duration_s"], "duration in seconds")


def noise(manifest: pd.DataFrame) -> str:
    """Return a histogram of how clean the usable recordings are, as HTML."""
    measured = manifest[manifest["decodable"] & (manifest["snr_db"] != 0)]
    return _histogram(measured["split"], measured["snr_db"], "estimated signal-to-noise ratio in dB")


def _histogram(split_of: pd.Series[Any], values: pd.Series[Any], title: str) -> str:
    """Return one outline per split: the share of its recordings in every bin."""
    if values.empty:
        return '<p class="muted">nothing could be measured</p>'
    low, high = min(0.0, float(values.min())), float(values.max())
    ticks = nice_ticks(high - low)
    width = ticks[-1] / _BINS
    splits = [split for split in get_args(Split) if (split_of == split).any()]
    outlines: list[list[float]] = []
    for split in splits:
        members = values[split_of == split]
        bins = ((members - low) / width).astype(int).clip(upper=_BINS - 1)
        counts = bins.value_counts()
        outlines.append([100 * int(counts.get(number, 0)) / len(members) for number in range(_BINS)])
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
