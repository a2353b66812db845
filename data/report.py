"""The validation report: what was expected, what was found, which utterances fail, in one HTML file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.pictures import SPLITS_HEAD, durations, noise, split_rows
from mome.records import ExpectationResult, Utterance, ValidationReport
from mome.reporting.page import Cell, facts, page, table, verdict
from mome.storage import write_text

__all__ = ["Failure", "write_report"]

_SHOWN = 100  # failing utterances in the page; validation.json has them all
_RANK = {"critical": 0, "set aside": 1, "warning": 2, "info": 3}


@dataclass(frozen=True)
class Failure:
    """Why one row fails one expectation.

    Args:
        name: Utterance id, or the split.
        severity: Of the expectation; ``set aside`` where few enough break one that would stop the run.
        check: Name of the expectation.
        sentence: Value and what was expected.
    """

    name: str
    severity: str
    check: str
    sentence: str


def write_report(
    report: ValidationReport, utterances: Sequence[Utterance], failures: Sequence[Failure], path: Path
) -> None:
    """Write the report as one self-contained HTML file, whole or not at all."""
    usable = len(utterances) - sum(report.set_aside.values())
    parts = [
        f"<p>{_verdict(report)}</p>",
        facts(
            [
                ("corpus", report.corpus),
                ("revision", report.revision),
                ("speakers", len({utterance.speaker for utterance in utterances})),
                ("usable recordings", f"{usable} of {len(utterances)}"),
            ]
        ),
        table(SPLITS_HEAD, split_rows(utterances), css="number"),
        "<h2>Expectations</h2>",
        _expectations(report.results),
    ]
    if failures:
        parts += ["<h2>What fails, and why</h2>", _failing(utterances, failures)]
    parts += [
        "<h2>How long the recordings are</h2>",
        durations(utterances),
        "<h2>How clean the recordings are</h2>",
        noise(utterances),
    ]
    write_text(path, page(f"Validation of {report.corpus}", "\n".join(parts)))


def _verdict(report: ValidationReport) -> str:
    broken = [result for result in report.results if not result.passed]
    critical = sum(result.severity == "critical" for result in broken)
    if critical:
        return verdict(False, f"stopped: {critical} critical expectation{'s' * (critical > 1)} not met")
    remarks = f", {len(broken)} remark{'s' * (len(broken) > 1)}" if broken else ""
    return verdict(True, f"valid{remarks}")


def _expectations(results: Sequence[ExpectationResult]) -> str:
    # What stops the run comes first, then what does not hold, then the rest in the order of the suite.
    ordered = sorted(results, key=lambda result: (result.passed, _RANK[result.severity]))
    rows = (
        (
            result.name,
            Cell(f"<td>{verdict(result.passed, 'holds' if result.passed else 'fails')}</td>"),
            result.severity,
            result.description,
            result.observed,
        )
        for result in ordered
    )
    return table(("expectation", "", "severity", "what is expected", "what was found"), rows, css="wide")


def _failing(utterances: Sequence[Utterance], failures: Sequence[Failure]) -> str:
    by_id = {utterance.utterance_id: utterance for utterance in utterances}
    grouped: dict[str, list[Failure]] = defaultdict(list)
    for failure in sorted(failures, key=lambda failure: _RANK[failure.severity]):
        grouped[failure.name].append(failure)
    rows = []
    for name, found in list(grouped.items())[:_SHOWN]:
        utterance = by_id.get(name)
        reasons = [f"{failure.check}: {failure.sentence}" for failure in found]
        if utterance is not None and utterance.problem:
            reasons.insert(0, utterance.problem)
        about = (utterance.split, utterance.speaker, utterance.transcript) if utterance else ("", "", "")
        rows.append((name, found[0].severity, *about, " · ".join(reasons)))
    head = ("utterance", "severity", "split", "speaker", "transcript", "reason")
    more = len(grouped) - len(rows)
    rest = f'<p class="muted">and {more} more, all named in validation.json</p>' if more > 0 else ""
    return table(head, rows, css="wide") + rest
