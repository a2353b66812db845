"""May this model be shipped? Every scale within its budget, and none behind the champion beyond chance.

    python -m mome.evaluation.gate EVALUATION OUTPUT [--champion FOLDER] [--params params.yaml]

Budgets hold for clean speech, at the scales that the model was trained for: others of the table are told
and not judged. Against the champion every trained scale at every noise level is compared, and
a level counts as a regression when the candidate's whole 95 % interval lies above the champion's. Two
such intervals part by chance about once in 350 comparisons, so that even a table of twenty levels
rejects an equal model in some 5 % of cases only; the overlap of intervals is all that is asked of
models whose test sets may differ.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from mome.cli import main
from mome.config import GateParams, load_params
from mome.errors import GateRejected, MomeError
from mome.evaluation.gate_report import Check, gate_page
from mome.evaluation.report import decoding_name
from mome.records import Evaluation, GateDecision, WordErrors, level, snr_key
from mome.scales import Scale
from mome.storage import write_text

__all__ = ["judge", "log_lines", "run"]

_CLEAN = snr_key(None)


def run(params: GateParams, evaluation: Path, champion: Path | None, output: Path) -> GateDecision:
    """Judge as `judge` does, and then raise if it is a no.

    Raises:
        GateRejected: If a check fails; the report is written.
    """
    decision = judge(params, evaluation, champion, output)
    if not decision.passed:
        raise GateRejected(f"the gate rejected the model: {decision.reason}; see {output / 'gate.html'}")
    return decision


def judge(
    params: GateParams, evaluation: Path, champion: Path | None, output: Path, beside: str = ""
) -> GateDecision:
    """Decide, and write ``gate.json`` and ``gate.html`` into ``output``.

    A table that is missing, empty, damaged or holds a number that is not one fails a check like any
    other, and the report is written.

    Args:
        params: Budget per modality and scale; that of the corpus's richest modality counts.
        evaluation: Folder with ``evaluation.json``.
        champion: Folder with the ``evaluation.json`` of the model in use; None for a first model.
        output: Folder for the decision.
        beside: HTML of what else is known of the model; the page shows it, and it decides nothing.
    """
    candidate: Evaluation | None = None
    max_wer: Mapping[str, float] = {}
    try:
        candidate = Evaluation.read(evaluation / "evaluation.json")
    except MomeError as error:
        checks = [Check(False, "word error table", " ".join(str(error).split()))]
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
    best = _readable(champion)
    write_text(output / "gate.html", gate_page(decision, checks, candidate, best, beside))
    return decision


def log_lines(evaluation: Path, decision: GateDecision) -> str:
    """Return the table and the decision, a line of JSON each: what CI reads in the log of the step.

    Args:
        evaluation: Folder with ``evaluation.json``; a table that cannot be read is left out.
        decision: What `judge` returned.
    """
    table = _readable(evaluation)
    records = [decision] if table is None else [table, decision]
    return "\n".join(record.model_dump_json() for record in records)


def _readable(folder: Path | None) -> Evaluation | None:
    try:
        return None if folder is None else Evaluation.read(folder / "evaluation.json")
    except MomeError:  # a check has said so
        return None


def _within_budget(candidate: Evaluation, max_wer: Mapping[str, float]) -> list[Check]:
    rows = candidate.wer.get(candidate.modality)
    if not rows:
        return [Check(False, "word error table", f"empty: nothing was evaluated for {candidate.modality!r}")]
    checks = []
    for scale in sorted({*rows, *max_wer}, key=lambda text: -Scale.parse(text).tokens_per_second):
        name = f"budget of {scale}"
        if scale in candidate.untrained:
            checks.append(_untrained(scale, rows.get(scale, {}), max_wer))
        elif scale not in max_wer:
            checks.append(Check(False, name, "evaluated, but params.yaml has no gate.max_wer for it"))
        elif scale not in rows:
            checks.append(
                Check(False, name, "params.yaml has a gate.max_wer for it, but it was not evaluated")
            )
        elif _CLEAN not in rows[scale]:
            checks.append(
                Check(
                    False,
                    name,
                    f"not evaluated on clean speech, only at {', '.join(map(level, rows[scale]))}",
                )
            )
        else:
            rate, most = rows[scale][_CLEAN].rate, max_wer[scale]
            checks.append(
                Check(rate <= most, name, f"{rate:.1%} of words wrong on clean speech, {most:.1%} allowed")
            )
    return checks


def _untrained(scale: str, row: Mapping[str, WordErrors], max_wer: Mapping[str, float]) -> Check:
    if scale in max_wer:
        return Check(
            False, f"budget of {scale}", "params.yaml has a gate.max_wer for it, but it was never trained"
        )
    found = f"{row[_CLEAN].rate:.1%} of words wrong on clean speech" if _CLEAN in row else "not heard clean"
    return Check(True, scale, f"never trained, so not judged: {found}")


def _no_regression(candidate: Evaluation, champion: Path | None) -> list[Check]:
    if champion is None:
        return [Check(True, "champion", "none yet, nothing to fall behind")]
    try:
        best = Evaluation.read(champion / "evaluation.json")
    except MomeError as error:
        return [Check(False, "champion", f"cannot be compared with: {' '.join(str(error).split())}")]
    if best.corpus != candidate.corpus:
        return [
            Check(True, "champion", f"not compared: its corpus is {best.corpus!r}, not {candidate.corpus!r}")
        ]
    ours, theirs = _trained(candidate), best.wer.get(candidate.modality, {})
    other_noise = sorted(
        noise for noise, source in candidate.noise.items() if best.noise.get(noise, source) != source
    )
    shared = [
        (scale, key)
        for scale in ours
        for key in ours[scale]
        if key in theirs.get(scale, {}) and key.rpartition("_")[0] not in other_noise
    ]
    if not shared:
        return [
            Check(
                True,
                "champion",
                f"not compared: it has no scale and noise level of {candidate.modality!r} in common",
            )
        ]
    checks = []
    for scale, key in shared:
        found, passed = _compare(ours[scale][key], theirs[scale][key])
        checks.append(Check(passed, f"champion at {scale}, {level(key)}", found))
    alone = sorted({*ours, *theirs} - (ours.keys() & theirs.keys()) - {*candidate.untrained, *best.untrained})
    if alone:
        checks.append(
            Check(True, "champion", f"not compared at {', '.join(alone)}: only one of the two has it")
        )
    if other_noise:
        said = f"not compared in {', '.join(other_noise)}: it was tested in another one"
        checks.append(Check(True, "champion", said))
    if best.decoding != candidate.decoding:
        said = f"wrote texts with {decoding_name(best)}, this model with {decoding_name(candidate)}"
        checks.append(Check(True, "champion", said))
    if best.revision != candidate.revision:
        said = f"was tested on revision {best.revision[:12]}, this model on {candidate.revision[:12]}"
        checks.append(Check(True, "champion", said))
    return checks


def _trained(table: Evaluation) -> dict[str, dict[str, WordErrors]]:
    """Return the rows of the richest modality at the scales that the model was trained for."""
    rows = table.wer.get(table.modality, {})
    return {scale: row for scale, row in rows.items() if scale not in table.untrained}


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


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m mome.evaluation.gate", description="Decide on a model.")
    parser.add_argument("evaluation", type=Path, help="folder with evaluation.json")
    parser.add_argument("output", type=Path, help="folder for gate.json and gate.html")
    parser.add_argument(
        "--champion",
        type=Path,
        help="folder that `serving.registry evaluation` wrote; without an evaluation.json there is none",
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    given = parser.parse_args()
    known = given.champion is not None and (given.champion / "evaluation.json").is_file()
    best = given.champion if known else None
    print(run(load_params(given.params).gate, given.evaluation, best, given.output).reason)


if __name__ == "__main__":
    raise SystemExit(main(_command))
