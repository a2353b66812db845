"""May this model be shipped? Every scale within its budget, and none behind the champion beyond chance.

    python -m mome.evaluation.gate EVALUATION OUTPUT --corpus NAME --registry FOLDER [--params params.yaml]

Budgets hold for clean speech. Against the champion every scale at every noise level is compared, and
a level counts as a regression when the candidate's whole 95 % interval lies above the champion's. Two
such intervals part by chance about once in 350 comparisons, so that even a table of twenty levels
rejects an equal model in some 5 % of cases only; the overlap of intervals is all that is asked of
models whose test sets may differ.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import NamedTuple

from mome.cli import main
from mome.config import GateParams, load_params
from mome.errors import GateRejected, MomeError
from mome.evaluation import champion as champions
from mome.page import facts, page, table, verdict
from mome.records import Evaluation, GateDecision, WordErrors, snr_key
from mome.scales import Scale
from mome.storage import write_text

__all__ = ["run"]

_CLEAN = snr_key(None)


class _Check(NamedTuple):
    passed: bool
    name: str
    found: str


def run(params: GateParams, evaluation: Path, champion: Path | None, output: Path) -> GateDecision:
    """Decide, write ``gate.json`` and ``gate.html`` into ``output``, and then raise if it is a no.

    Args:
        params: Budget per modality and scale; that of the corpus's richest modality counts.
        evaluation: Folder with ``evaluation.json``.
        champion: Folder with the ``evaluation.json`` of the model in use; None for a first model.
        output: Folder for the decision.

    Raises:
        GateRejected: If a check fails. A table that is missing, empty, damaged or holds a number that
            is not one fails a check like any other: the report is written.
    """
    candidate: Evaluation | None = None
    max_wer: Mapping[str, float] = {}
    try:
        candidate = Evaluation.read(evaluation / "evaluation.json")
    except MomeError as error:
        checks = [_Check(False, "word error table", " ".join(str(error).split()))]
    else:
        max_wer = params.max_wer.get(candidate.modality, {})
        checks = [*_within_budget(candidate, max_wer), *_no_regression(candidate, champion)]
    failed = [check for check in checks if not check.passed]
    if failed:
        reason = f"{failed[0].name}: {failed[0].found}"
        reason += f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    else:
        reason = f"all {len(checks)} checks hold"
    decision = GateDecision(
        passed=not failed,
        reason=reason,
        checks=[f"{'ok' if check.passed else 'FAILED'}: {check.name}: {check.found}" for check in checks],
        max_wer=dict(max_wer),
    )
    decision.write(output / "gate.json")
    write_text(output / "gate.html", _report(decision, checks, candidate))
    if failed:
        raise GateRejected(f"the gate rejected the model: {reason}; see {output / 'gate.html'}")
    return decision


def _within_budget(candidate: Evaluation, max_wer: Mapping[str, float]) -> list[_Check]:
    rows = candidate.wer.get(candidate.modality)
    if not rows:
        return [_Check(False, "word error table", f"empty: nothing was evaluated for {candidate.modality!r}")]
    checks = []
    for scale in sorted({*rows, *max_wer}, key=lambda text: -Scale.parse(text).tokens_per_second):
        name = f"budget of {scale}"
        if scale not in max_wer:
            checks.append(_Check(False, name, "evaluated, but params.yaml has no gate.max_wer for it"))
        elif scale not in rows:
            checks.append(
                _Check(False, name, "params.yaml has a gate.max_wer for it, but it was not evaluated")
            )
        elif _CLEAN not in rows[scale]:
            checks.append(
                _Check(False, name, f"not evaluated on clean speech, only at {', '.join(rows[scale])}")
            )
        else:
            rate, most = rows[scale][_CLEAN].rate, max_wer[scale]
            checks.append(
                _Check(rate <= most, name, f"{rate:.1%} of words wrong on clean speech, {most:.1%} allowed")
            )
    return checks


def _no_regression(candidate: Evaluation, champion: Path | None) -> list[_Check]:
    if champion is None:
        return [_Check(True, "champion", "none yet, nothing to fall behind")]
    try:
        best = Evaluation.read(champion / "evaluation.json")
    except MomeError as error:
        return [_Check(False, "champion", f"cannot be compared with: {' '.join(str(error).split())}")]
    if best.corpus != candidate.corpus:
        return [
            _Check(True, "champion", f"not compared: its corpus is {best.corpus!r}, not {candidate.corpus!r}")
        ]
    ours, theirs = candidate.wer.get(candidate.modality, {}), best.wer.get(candidate.modality, {})
    shared = [(scale, key) for scale in ours for key in ours[scale] if key in theirs.get(scale, {})]
    if not shared:
        return [
            _Check(
                True,
                "champion",
                f"not compared: it has no scale and noise level of {candidate.modality!r} in common",
            )
        ]
    checks = []
    for scale, key in shared:
        found, passed = _compare(ours[scale][key], theirs[scale][key])
        checks.append(_Check(passed, f"champion at {scale}, {key if key == _CLEAN else f'{key} dB'}", found))
    alone = sorted(ours.keys() ^ theirs.keys())
    if alone:
        checks.append(
            _Check(True, "champion", f"not compared at {', '.join(alone)}: only one of the two has it")
        )
    if best.revision != candidate.revision:
        said = f"was tested on revision {best.revision[:12]}, this model on {candidate.revision[:12]}"
        checks.append(_Check(True, "champion", said))
    return checks


def _compare(ours: WordErrors, theirs: WordErrors) -> tuple[str, bool]:
    high = theirs.high
    if theirs.errors == 0:
        # The bootstrap of no errors is (0, 0), as if a champion could never err. Without an error in n
        # words, rates up to 3 / n are still likely (95 %, "rule of three").
        high = max(high, 3 / theirs.words)
    passed = ours.low <= high
    relation = "no worse beyond chance than" if passed else "worse than"
    return (
        f"{ours.rate:.1%} ({ours.low:.1%} to {ours.high:.1%}) is {relation}"
        f" {theirs.rate:.1%} ({theirs.low:.1%} to {high:.1%})"
    ), passed


def _report(decision: GateDecision, checks: list[_Check], candidate: Evaluation | None) -> str:
    about = []
    if candidate is not None:
        about = [
            ("corpus", candidate.corpus),
            ("revision", candidate.revision),
            ("judged by", candidate.modality),
            ("test utterances", candidate.utterances),
        ]
    rows = [
        [
            check.name,
            f'<td class="{"good" if check.passed else "bad"}">{"ok" if check.passed else "failed"}</td>',
            check.found,
        ]
        for check in sorted(checks, key=lambda check: check.passed)
    ]
    said = verdict(decision.passed, "passed" if decision.passed else "rejected")
    body = (
        f"<p>{said} {escape(decision.reason)}</p>"
        f"{facts(about)}{table(['check', '', 'found'], rows, css='wide')}"
        '<p class="muted">Budgets hold for clean speech. A level is a regression when the whole 95 % interval'
        " lies above the champion's.</p>"
    )
    return page("Gate", body)


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m mome.evaluation.gate", description="Decide on a model.")
    parser.add_argument("evaluation", type=Path, help="folder with evaluation.json")
    parser.add_argument("output", type=Path, help="folder for gate.json and gate.html")
    parser.add_argument("--corpus", required=True, help="whose champion to compare with")
    parser.add_argument("--registry", type=Path, required=True, help="folder of the promoted models")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    given = parser.parse_args()
    best = champions.find(given.registry, given.corpus)
    print(run(load_params(given.params).gate, given.evaluation, best, given.output).reason)


if __name__ == "__main__":
    raise SystemExit(main(_command))
