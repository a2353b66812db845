"""What a person wants to know first about a dataset and about its validation, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from mome.card import bullets, card, columns
from mome.records import ExpectationResult, Split, Utterance, ValidationReport

__all__ = ["dataset_card", "dataset_figures", "validation_card"]


def dataset_figures(utterances: Sequence[Utterance]) -> dict[str, float]:
    """Return what a run comparison shows, flat: usable utterances and hours per split, unusable ones."""
    figures: dict[str, float] = {}
    for split in get_args(Split):
        usable = [row for row in utterances if row.split == split and row.decodable]
        figures[f"utterances_{split}"] = float(len(usable))
        figures[f"hours_{split}"] = sum(row.duration_s for row in usable) / 3600
    figures["unusable"] = float(sum(not row.decodable for row in utterances))
    return figures


def dataset_card(name: str, revision: str, modality: str, utterances: Sequence[Utterance]) -> str:
    """Return the card of a prepared dataset.

    Args:
        name: Of the corpus.
        revision: Git commit of the corpus.
        modality: What its recordings have.
        utterances: Rows of its manifest.
    """
    about = [("corpus", name), ("revision", revision), ("recordings have", modality)]
    unusable = [row for row in utterances if not row.decodable]
    if unusable:
        first = f"{unusable[0].utterance_id}: {unusable[0].problem}"
        about.append(("cannot be used", f"{len(unusable)}, the first is {first}"))
    return card(f"Dataset {name}", bullets(about), _splits(utterances))


def validation_card(report: ValidationReport, utterances: Sequence[Utterance], reason: str) -> str:
    """Return the card of a validation.

    Args:
        report: What was found.
        utterances: Rows of the manifest.
        reason: The verdict in one sentence.
    """
    broken = [result for result in report.results if not result.passed]
    return card(
        f"Validation of {report.corpus}: {'passed' if report.passed else 'FAILED'}",
        bullets([("verdict", reason), ("revision", report.revision)]),
        _splits(utterances),
        "\n".join(["## What does not hold", "", *map(_broken, broken)]) if broken else "",
    )


def _broken(result: ExpectationResult) -> str:
    return bullets([(f"{result.severity}, {result.name}", f"{result.description}. Found: {result.observed}")])


def _splits(utterances: Sequence[Utterance]) -> str:
    rows = []
    for split in get_args(Split):
        members = [row for row in utterances if row.split == split]
        usable = [row for row in members if row.decodable]
        minutes = sum(row.duration_s for row in usable) / 60
        speakers = len({row.speaker for row in members})
        rows.append([split, len(members), len(usable), f"{minutes:.1f}", speakers])
    return columns(["split", "recordings", "usable", "minutes", "speakers"], rows)
