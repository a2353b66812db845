"""What a prepared dataset holds, for people and for comparing runs: page and figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from data.contact_sheet import contact_sheet
from data.pictures import SPLITS_HEAD, count_speakers, durations, noise, split_rows
from data.probe import read_frame
from mome.records import MODALITY_NAMES, Split
from mome.reporting.report import Report

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["describe"]

_SHOWN = 100  # unusable recordings on the page; the manifest has them all


def describe(dataset: Path, page: Path) -> dict[str, float | str]:
    """Write the page of a dataset and return its figures and where it comes from, flat.

    Args:
        dataset: Folder that `data.prepare` wrote.
        page: HTML file to write.
    """
    about = json.loads((dataset / "corpus.json").read_text())
    manifest = read_frame(dataset)
    unusable = manifest[~manifest["decodable"]]
    usable = len(manifest) - len(unusable)
    members = manifest[["split", "speaker"]].drop_duplicates().itertuples(index=False, name=None)
    speakers = count_speakers(members, disjoint=about["speaker_disjoint"])
    report = Report(f"Dataset {about['name']}")
    if len(unusable):
        first = ": ".join(unusable[["utterance_id", "problem"]].iloc[0])
        said = f"of {len(manifest)} recordings, the first is {first}"
        report.verdict(False, f"{len(unusable)} cannot be used", said)
    else:
        report.verdict(True, "can be used", f"all {len(manifest)} recordings")
    report.facts(
        [
            ("corpus", about["name"]),
            ("revision", about["revision"]),
            ("recordings have", MODALITY_NAMES[about["modality"]]),
            ("usable recordings", f"{usable} of {len(manifest)}"),
            ("hours of speech", f"{sum(_hours(manifest).values()):.2f}"),
            ("speakers", speakers),
            ("recorded at", _rates(manifest)),
        ]
    )
    report.heading("Splits")
    report.table(SPLITS_HEAD, split_rows(manifest))
    if len(unusable):
        report.heading("Cannot be used, and why")
        shown = unusable[["utterance_id", "split", "speaker", "problem"]].head(_SHOWN)
        rows = [list(row) for row in shown.itertuples(index=False)]
        report.table(["utterance", "split", "speaker", "reason"], rows, numbers=False)
        if len(unusable) > _SHOWN:
            report.say(f"And {len(unusable) - _SHOWN} more, all in manifest.parquet.")
        report.say("Step validate decides whether the run goes on.")
    if about["modality"] == "av":
        report.heading("Mouths, and whether the sound is theirs")
        report.say(
            "Sound comes so many frames of 40 ms after the lips (below 0: before); the confidence is that it "
            "is of this mouth. The least sure come first."
        )
        report.picture(contact_sheet(dataset, manifest))
    report.heading("How long the recordings are")
    report.picture(durations(manifest))
    report.heading("How clean the recordings are")
    report.picture(noise(manifest))
    report.write(page)
    return {"corpus": about["name"], "revision": about["revision"], **_figures(manifest)}


def _figures(manifest: pd.DataFrame) -> dict[str, float]:
    """Return what a run comparison shows: usable utterances and hours per split, unusable ones."""
    figures: dict[str, float] = {}
    usable = manifest["split"][manifest["decodable"]].value_counts()
    for split, hours in _hours(manifest).items():
        figures[f"utterances_{split}"] = float(usable.get(split, 0))
        figures[f"hours_{split}"] = hours
    figures["unusable"] = float((~manifest["decodable"]).sum())
    return figures


def _hours(manifest: pd.DataFrame) -> dict[str, float]:
    usable = manifest[manifest["decodable"]]
    seconds = usable.groupby("split", observed=True)["duration_s"].sum()
    return {split: float(seconds.get(split, 0.0)) / 3600 for split in get_args(Split)}


def _rates(manifest: pd.DataFrame) -> str:
    """Return the most frequent native rates."""
    rates = (("native_sampling_rate", "Hz"), ("native_fps", "fps"))
    shown = []
    for column, unit in rates:
        measured = manifest[column][manifest[column] != 0]
        shown += [f"{rate:g} {unit}" for rate in measured.value_counts(sort=True).index[:3]]
    return ", ".join(shown) or "–"
