"""Validate a dataset with Great Expectations; a corpus that breaks a critical expectation stops the run.

A few recordings that cannot be used are set aside, and later steps do not see them (`mome.speech.usable`).

validation.json     `ValidationReport`
validation.html     the same for people, in one file
set_aside.jsonl     the recordings that cannot be used, and why; few of them stop nothing
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from data.probe import corpus_facts, probe_splits, probe_utterances, read_frame
from data.report import Failures, shown, write_report
from data.suite import split_expectations, utterance_expectations
from mome.cli import main, paths
from mome.config import ValidateParams, load_params
from mome.errors import CorpusError, ValidationFailed
from mome.records import ExpectationResult, SetAside, Split, ValidationReport
from mome.speech.dataset import open_dataset
from mome.speech.usable import write_set_aside

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.expectations.expectation import Expectation

__all__ = ["check", "reason", "run"]

_NAMED = 3  # utterances that a message names per expectation


@dataclass(frozen=True)
class _Outcome:
    """One expectation, its result and the rows that broke it; ``sets_aside`` if these cannot be used."""

    result: ExpectationResult
    failures: Failures
    sets_aside: bool


def run(params: ValidateParams, dataset: Path, output: Path) -> ValidationReport:
    """Check every recording of a dataset, write the report, and then raise if the dataset is no good.

    Args:
        params: What a usable recording is.
        dataset: Folder that `data.prepare` wrote.
        output: Folder for the report; written also on failure.

    Raises:
        CorpusError: If ``dataset`` is no such folder, or holds no recording.
        ValidationFailed: If a critical expectation does not hold; names it and the first utterances.
    """
    report = check(params, dataset, output)
    if not report.passed:
        raise ValidationFailed(f"{reason(report)}; see {output / 'validation.html'}")
    return report


def check(params: ValidateParams, dataset: Path, output: Path) -> ValidationReport:
    """Check every recording of a dataset and write the report; whether it passed, the report says.

    Args:
        params: What a usable recording is.
        dataset: Folder that `data.prepare` wrote.
        output: Folder for ``validation.json``, ``validation.html`` and ``set_aside.jsonl``.

    Raises:
        CorpusError: If ``dataset`` is no such folder, or holds no recording.
    """
    # No sender is left in Great Expectations, but the switch is; it is read on import.
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    about = _read_about(dataset)
    manifest = read_frame(dataset)
    if manifest.empty:
        raise CorpusError(f"{dataset}: the manifest has no recording; expected at least one")
    corpus = str(about["name"])
    facts = corpus_facts(manifest, bool(about["speaker_disjoint"]))
    about_each = _check(
        "utterance_id", probe_utterances(manifest, params), utterance_expectations(params, facts)
    )
    unusable = _unusable([outcome.failures for outcome in about_each if outcome.sets_aside])
    set_aside = _set_aside(manifest, unusable)
    is_unusable = np.zeros(len(manifest), np.bool_)
    is_unusable[list(unusable)] = True
    about_all = _check(
        "corpus", probe_splits(manifest, is_unusable, params, corpus), split_expectations(params)
    )
    outcomes = [*about_each, *about_all]
    report = ValidationReport(
        passed=all(o.result.passed for o in outcomes if o.result.severity == "critical"),
        corpus=corpus,
        revision=str(about["revision"]),
        utterances=_by_split(manifest["split"].value_counts()),
        hours=_by_split(manifest.groupby("split", observed=True)["duration_s"].sum() / 3600),
        set_aside=dict(Counter(row.split for row in set_aside)),
        results=[outcome.result for outcome in outcomes],
    )
    report.write(output / "validation.json")
    write_set_aside(set_aside, output)
    each, corpus_wide = ([outcome.failures for outcome in asked] for asked in (about_each, about_all))
    write_report(report, manifest, each, corpus_wide, output / "validation.html")
    return report


def reason(report: ValidationReport) -> str:
    """Return the critical expectations that do not hold, with the first utterances that break each."""
    critical = [result for result in report.results if result.severity == "critical"]
    broken = [result for result in critical if not result.passed]
    if not broken:
        rest = f"; {count} recordings set aside" if (count := sum(report.set_aside.values())) else ""
        return f"corpus {report.corpus}: all {len(critical)} critical expectations hold{rest}"
    reasons = "; ".join(f"{result.name} ({result.observed})" for result in broken)
    return f"corpus {report.corpus}: {len(broken)} of {len(critical)} critical expectations fail: {reasons}"


def _unusable(broken: Sequence[Failures]) -> dict[int, list[str]]:
    """Return the reasons of each row that cannot be used."""
    reasons: dict[int, list[str]] = defaultdict(list)
    for failures in broken:
        for row in failures.rows:
            reasons[row].append(failures.reason(row))
    return reasons


def _set_aside(manifest: pd.DataFrame, unusable: Mapping[int, list[str]]) -> list[SetAside]:
    rows = sorted(unusable)
    named = manifest.iloc[rows][["utterance_id", "split"]].itertuples(index=False)
    return [
        SetAside(utterance_id=name, split=split, reasons=unusable[row])
        for row, (name, split) in zip(rows, named, strict=True)
    ]


def _read_about(dataset: Path) -> Mapping[str, object]:
    path = dataset / "corpus.json"
    try:
        about = json.loads(path.read_bytes())
        if not isinstance(about, dict) or not {"name", "revision", "speaker_disjoint"} <= about.keys():
            raise ValueError("name, revision and speaker_disjoint are missing")
    except FileNotFoundError:
        raise CorpusError(f"{dataset}: no corpus.json; expected a dataset written by data.prepare") from None
    except ValueError as error:
        raise CorpusError(f"{path}: not the description of a dataset: {error}") from None
    return about


def _check(index: str, table: pd.DataFrame, expectations: list[Expectation]) -> list[_Outcome]:
    """Ask Great Expectations; ``index`` is the column that names a row of the table."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batch: BatchDefinition[Any] = (
        context.data_sources.add_pandas("dataset")
        .add_dataframe_asset("manifest")
        .add_batch_definition_whole_dataframe("all")
    )
    suite = context.suites.add(gx.ExpectationSuite(name=index, expectations=expectations))
    found = gx.ValidationDefinition(name=index, data=batch, suite=suite).run(
        batch_parameters={"dataframe": table},
        # Positions of what fails, not a dictionary with its name and value for each.
        result_format={"result_format": "COMPLETE", "exclude_unexpected_values": True},
    )
    return [_outcome(result.to_json_dict(), index, table) for result in found.results]


def _outcome(result: dict[str, Any], index: str, table: pd.DataFrame) -> _Outcome:
    config = result["expectation_config"]
    column, severity = config["kwargs"]["column"], config["severity"]
    failures = Failures(
        result["result"].get("unexpected_index_list") or [],
        table[index],
        table[column],
        "set aside" if result["success"] else severity,
        config["meta"]["name"],
        config["meta"]["sentence"],
    )
    if result["exception_info"].get("raised_exception"):
        observed = f"could not be checked: {result['exception_info'].get('exception_message')}"
    else:
        observed = _observed(table[column].dropna(), failures)
    return _Outcome(
        ExpectationResult(
            name=failures.check,
            severity=severity,
            description=config["description"],
            passed=result["success"],
            observed=observed,
            failing_utterances=failures.named() if index == "utterance_id" else [],
        ),
        failures,
        config["meta"].get("sets_aside", False),
    )


def _observed(values: pd.Series[Any], failures: Failures) -> str:
    """Return the first failures, or else how many values hold and between what they lie."""
    if failures:
        first = [f"{failures.names.iloc[row]}: {failures.reason(row)}" for row in failures.rows[:_NAMED]]
        return f"{len(failures)} of {len(values)}: {'; '.join(first)}" + (
            "; …" if len(failures) > _NAMED else ""
        )
    if not len(values):
        return "nothing to check"
    if isinstance(values.iloc[0], str):
        return f"holds for {len(values)}"
    low, high = shown(values.min()), shown(values.max())
    return f"{low} to {high} in {len(values)}" if low != high else f"{low} in {len(values)}"


def _by_split(found: pd.Series[Any]) -> dict[str, Any]:
    """Return what was counted of the splits that occur."""
    return {split: found[split].item() for split in get_args(Split) if split in found.index}


def _command() -> None:
    given = paths(
        "data.validate",
        (__doc__ or "").partition("\n")[0],
        dataset="folder that data.prepare wrote, or s3://bucket/prefix",
        output="folder for the report",
    )
    params = load_params(given.params, given.profile).validate_
    report = run(params, open_dataset(given.dataset), given.output)
    failed = [result.name for result in report.results if not result.passed]
    count = sum(report.set_aside.values())
    print(
        f"{report.corpus}: valid"
        + (f"; set aside: {count}" if count else "")
        + (f"; warnings: {', '.join(failed)}" if failed else "")
    )


if __name__ == "__main__":
    raise SystemExit(main(_command))
