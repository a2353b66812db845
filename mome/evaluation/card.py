"""What a person wants to know first about an evaluation, in Markdown."""

from __future__ import annotations

from mome.evaluation.report import finest_first, level
from mome.records import MODALITY_NAMES, Evaluation
from mome.reporting.card import bullets, card, columns

__all__ = ["evaluation_card"]


def evaluation_card(evaluation: Evaluation) -> str:
    """Return the word error rates of the richest modality, and the best of each other one."""
    about: list[tuple[str, object]] = [
        ("corpus", evaluation.corpus),
        ("revision", evaluation.revision),
        ("test utterances", evaluation.utterances),
    ]
    for modality, rows in evaluation.wer.items():
        best = min(
            ((cell.rate, scale, key) for scale, row in rows.items() for key, cell in row.items()),
            default=None,
        )
        if best is not None:
            rate, scale, key = best
            about.append((f"best of {MODALITY_NAMES[modality]}", f"{rate:.1%} at {scale}, {level(key)}"))
    noise = [condition.key for condition in evaluation.conditions]
    table = evaluation.wer.get(evaluation.modality, {})
    rows_ = [
        [scale, *(f"{table[scale][key].rate:.1%}" if key in table[scale] else "–" for key in noise)]
        for scale in finest_first(table)
    ]
    return card(
        f"Word error rate of {evaluation.corpus}",
        bullets(about),
        f"## {MODALITY_NAMES[evaluation.modality].capitalize()}, by noise at an SNR",
        columns(["scale", *map(level, noise)], rows_),
    )
