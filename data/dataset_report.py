"""What a prepared dataset holds, for people and for comparing runs: page and figures."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from data.contact_sheet import contact_sheet
from data.pictures import SPLITS_HEAD, count_speakers, durations, noise, split_rows
from mome.records import MODALITY_NAMES, Split, Utterance
from mome.reporting.report import Report
from mome.speech.shards import read_manifest

__all__ = ["describe"]

_SHOWN = 100  # unusable recordings on the page; the manifest has them all


def describe(dataset: Path, page: Path) -> dict[str, float | str]:
    """Write the page of a dataset and return its figures and where it comes from, flat.

    Args:
        dataset: Folder that `data.prepare` wrote.
        page: HTML file to write.
    """
    about = json.loads((dataset / "corpus.json").read_text())
    utterances = read_manifest(dataset)
    unusable = [row for row in utterances if not row.decodable]
    usable = len(utterances) - len(unusable)
    members = [(row.split, row.speaker) for row in utterances]
    speakers = count_speakers(members, disjoint=about["speaker_disjoint"])
    report = Report(f"Dataset {about['name']}")
    if unusable:
        first = f"{unusable[0].utterance_id}: {unusable[0].problem}"
        said = f"of {len(utterances)} recordings, the first is {first}"
        report.verdict(False, f"{len(unusable)} cannot be used", said)
    else:
        report.verdict(True, "can be used", f"all {len(utterances)} recordings")
    report.facts(
        [
            ("corpus", about["name"]),
            ("revision", about["revision"]),
            ("recordings have", MODALITY_NAMES[about["modality"]]),
            ("usable recordings", f"{usable} of {len(utterances)}"),
            ("hours of speech", f"{sum(_hours(utterances).values()):.2f}"),
            ("speakers", speakers),
            ("recorded at", _rates(utterances)),
        ]
    )
    report.heading("Splits")
    report.table(SPLITS_HEAD, split_rows(utterances))
    if unusable:
        report.heading("Cannot be used, and why")
        rows = [[row.utterance_id, row.split, row.speaker, row.problem] for row in unusable[:_SHOWN]]
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
        report.picture(contact_sheet(dataset, utterances))
    report.heading("How long the recordings are")
    report.picture(durations(utterances))
    report.heading("How clean the recordings are")
    report.picture(noise(utterances))
    report.write(page)
    return {"corpus": about["name"], "revision": about["revision"], **_figures(utterances)}


def _figures(utterances: Sequence[Utterance]) -> dict[str, float]:
    """Return what a run comparison shows: usable utterances and hours per split, unusable ones."""
    figures: dict[str, float] = {}
    for split, hours in _hours(utterances).items():
        figures[f"utterances_{split}"] = float(sum(r.decodable for r in utterances if r.split == split))
        figures[f"hours_{split}"] = hours
    figures["unusable"] = float(sum(not row.decodable for row in utterances))
    return figures


def _hours(utterances: Sequence[Utterance]) -> dict[str, float]:
    return {
        split: sum(row.duration_s for row in utterances if row.split == split and row.decodable) / 3600
        for split in get_args(Split)
    }


def _rates(utterances: Sequence[Utterance]) -> str:
    """Return the most frequent native rates."""
    sound = Counter(f"{row.native_sampling_rate} Hz" for row in utterances if row.native_sampling_rate)
    video = Counter(f"{row.native_fps:g} fps" for row in utterances if row.native_fps)
    return ", ".join(rate for rates in (sound, video) for rate, _ in rates.most_common(3)) or "–"
