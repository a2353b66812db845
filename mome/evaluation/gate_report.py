"""The gate's decision for people: what was checked, and the champion's table beside the candidate's."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from mome.evaluation.report import finest_first, heat_cell
from mome.records import Evaluation, GateDecision, WordErrors, level
from mome.reporting.page import Cell, facts, page, table, verdict

__all__ = ["Check", "gate_page"]

_RULE = (
    "Budgets hold for clean speech. A level is a regression when the whole 95 % interval lies above the"
    " champion's."
)


class Check(NamedTuple):
    """One thing that the gate looked at."""

    passed: bool
    name: str
    found: str


def gate_page(
    decision: GateDecision,
    checks: Sequence[Check],
    candidate: Evaluation | None,
    champion: Evaluation | None,
    beside: str = "",
) -> str:
    """Return the report as a page.

    Args:
        decision: What came out.
        checks: All that was looked at.
        candidate: The model's table; None if it could not be read.
        champion: The table of the model in use; None if there is none.
        beside: HTML of what is known of the candidate besides its table.
    """
    rows = [
        [
            check.name,
            Cell(
                f'<td class="{"good" if check.passed else "bad"}">{"ok" if check.passed else "failed"}</td>'
            ),
            check.found,
        ]
        for check in sorted(checks, key=lambda check: check.passed)
    ]
    said = verdict(decision.passed, "passed" if decision.passed else "rejected")
    parts = [f"<p>{said} {escape(decision.reason)}</p>", facts(_about(candidate, champion))]
    if candidate is not None and candidate.wer.get(candidate.modality):
        parts += ["<h2>Word error rate, with the champion's beside it</h2>", _surface(candidate, champion)]
    parts += [
        "<h2>Every check</h2>",
        table(["check", "", "found"], rows, css="wide"),
        f'<p class="muted">{_RULE}</p>',
        beside,
    ]
    return page("Gate", "".join(parts))


def _about(candidate: Evaluation | None, champion: Evaluation | None) -> list[tuple[str, object]]:
    if candidate is None:
        return []
    about: list[tuple[str, object]] = [
        ("corpus", candidate.corpus),
        ("revision", candidate.revision),
        ("judged by", candidate.modality),
        ("test utterances", candidate.utterances),
    ]
    return [*about, ("champion", "none yet" if champion is None else f"of revision {champion.revision}")]


def _surface(candidate: Evaluation, champion: Evaluation | None) -> str:
    """Return one table: in every cell the candidate's rate, and below it the champion's and the change."""
    ours = candidate.wer[candidate.modality]
    theirs = {} if champion is None else champion.wer.get(candidate.modality, {})
    noise = [condition.key for condition in candidate.conditions]
    noise += sorted({key for row in ours.values() for key in row} - set(noise))
    rows = []
    for scale in finest_first(ours):
        cells = ["–"] * len(noise)
        for index, key in enumerate(noise):
            if key in ours[scale]:
                mine = ours[scale][key]
                cells[index] = heat_cell(mine, _beside(mine, theirs.get(scale, {}).get(key)))
        rows.append([scale, *cells])
    return (
        "<p>Below a rate stand the champion's and the change in percentage points: negative is better, and it"
        " is bold where the two 95 % intervals lie apart.</p>"
        + table(["scale", *map(level, noise)], rows, css="number")
    )


def _beside(mine: WordErrors, best: WordErrors | None) -> str:
    """Return the small line of a cell, as HTML."""
    if best is None:
        return f"{mine.errors} / {mine.words}, no champion"
    change = f"{100 * (mine.rate - best.rate):+.1f}"
    apart = mine.high < best.low or mine.low > best.high
    return f"champion {best.rate:.1%}, {f'<b>{change}</b>' if apart else change}"
