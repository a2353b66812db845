"""The validation report: what was expected, what was found, which utterances fail, in one HTML file."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.pictures import SPLITS_HEAD, durations, noise, split_rows
from mome.records import ExpectationResult, ValidationReport
from mome.reporting.page import Cell, facts, page, table, verdict
from mome.storage import write_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Failures", "shown", "write_report"]

_SHOWN = 100  # failing utterances in the page; validation.json has them all
_RANK = {"critical": 0, "set aside": 1, "warning": 2, "info": 3}


@dataclass(frozen=True)
class Failures:
    """The rows that fail one expectation: positions alone, for a million of them may.

    Args:
        rows: Positions in the table that was asked about, ascending.
        names: Utterance id of every row of that table, or the corpus.
        values: What every row has in the column that was asked about.
        severity: Of the expectation; ``set aside`` where few enough break one that would stop the run.
        check: Name of the expectation.
        sentence: What was expected; the value goes into its ``{}``.
    """

    rows: list[int]
    names: pd.Series[Any]
    values: pd.Series[Any]
    severity: str
    check: str
    sentence: str

    def __len__(self) -> int:
        return len(self.rows)

    def named(self) -> list[str]:
        """Return the name of every failing row."""
        return [str(name) for name in self.names.iloc[self.rows]]

    def reason(self, row: int) -> str:
        """Return value and what was expected, of one row."""
        return self.sentence.format(shown(self.values.iloc[row]))


def shown(value: object) -> str:
    """Return a value of a column as a page shows it."""
    return value if isinstance(value, str) else f"{float(value):.6g}"  # type: ignore[arg-type]


def write_report(
    report: ValidationReport,
    manifest: pd.DataFrame,
    about_each: Sequence[Failures],
    about_all: Sequence[Failures],
    path: Path,
) -> None:
    """Write the report as one self-contained HTML file, whole or not at all.

    Args:
        report: Its results.
        manifest: A row for each utterance.
        about_each: What fails of the utterances.
        about_all: What fails of the corpus.
        path: HTML file to write.
    """
    usable = len(manifest) - sum(report.set_aside.values())
    parts = [
        f"<p>{_verdict(report)}</p>",
        facts(
            [
                ("corpus", report.corpus),
                ("revision", report.revision),
                ("speakers", manifest["speaker"].nunique()),
                ("usable recordings", f"{usable} of {len(manifest)}"),
            ]
        ),
        table(SPLITS_HEAD, split_rows(manifest), css="number"),
        "<h2>Expectations</h2>",
        _expectations(report.results),
    ]
    if any([*about_each, *about_all]):
        parts += ["<h2>What fails, and why</h2>", _failing(manifest, about_each, about_all)]
    parts += [
        "<h2>How long the recordings are</h2>",
        durations(manifest),
        "<h2>How clean the recordings are</h2>",
        noise(manifest),
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


def _failing(manifest: pd.DataFrame, about_each: Sequence[Failures], about_all: Sequence[Failures]) -> str:
    # The worst first: a recording stands where the worst that is said of it does.
    ranked = sorted(about_each, key=lambda failures: _RANK[failures.severity])
    worst: dict[int, str] = {}
    for failures in ranked:
        worst = dict.fromkeys(failures.rows[:_SHOWN], failures.severity) | worst
    first = sorted(worst, key=lambda row: _RANK[worst[row]])[:_SHOWN]
    held = {row: [f for f in ranked if _holds(f.rows, row)] for row in first}
    rows = []
    for failures in about_all:
        said = f"{failures.check}: {failures.reason(0)}"
        rows += [(name, failures.severity, "", "", "", said) for name in failures.named()]
    for row, found in held.items():
        utterance = manifest.iloc[row]
        reasons = [f"{failures.check}: {failures.reason(row)}" for failures in found]
        if utterance["problem"]:
            reasons.insert(0, utterance["problem"])
        about = (utterance["split"], utterance["speaker"], utterance["transcript"])
        rows.append((utterance["utterance_id"], worst[row], *about, " · ".join(reasons)))
    head = ("utterance", "severity", "split", "speaker", "transcript", "reason")
    more = len(set().union(*(failures.rows for failures in about_each))) - len(first)
    rest = f'<p class="muted">and {more} more, all named in validation.json</p>' if more > 0 else ""
    return table(head, rows, css="wide") + rest


def _holds(rows: list[int], row: int) -> bool:
    place = bisect_left(rows, row)
    return place < len(rows) and rows[place] == row
