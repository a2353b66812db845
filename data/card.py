"""What a person wants to know first about a validation, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from data.pictures import SPLITS_HEAD, split_rows
from mome.records import ExpectationResult, Utterance, ValidationReport
from mome.reporting.card import bullets, card, columns, heading

__all__ = ["validation_card"]


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
        columns(SPLITS_HEAD, split_rows(utterances)),
        "\n".join([heading("What does not hold"), "", *map(_broken, broken)]) if broken else "",
    )


def _broken(result: ExpectationResult) -> str:
    return bullets([(f"{result.severity}, {result.name}", f"{result.description}. Found: {result.observed}")])
