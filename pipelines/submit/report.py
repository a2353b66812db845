"""What a submission came to, as Markdown for a comment: verdict, run, word error rates, what failed.

Much of it was written by others: names of corpora, errors of steps, reasons of triggers. It is shown as
text that is no markup, calls nobody and links nowhere.
"""

from __future__ import annotations

from mome.records import Evaluation, GateDecision, condition_order, level
from mome.reporting.markdown import bullets, columns, document
from mome.scales import Scale
from pipelines.submit.outcome import Submission, Verdict

__all__ = ["markdown", "records_in"]

TITLES: dict[Verdict, str] = {
    "passed": "Retraining passed the gate",
    "rejected": "Retraining rejected by the gate",
    "failed": "Retraining failed",
    "cancelled": "Retraining cancelled",
    "none": "Run ended well",
    "unfinished": "Run not finished",
    "error": "Submission failed",
}
LONGEST = 60_000  # characters; GitHub takes 65,536
LONGEST_VALUE = 600
BREAK = "\N{ZERO WIDTH SPACE}"


def markdown(submission: Submission) -> str:
    """Return the page of a submission."""
    outcome = submission.outcome
    # The server's address is the operator's own; the id is the server's.
    link = f"[Run in Kubeflow]({submission.run_url})" if submission.run_url else ""
    about = {
        "verdict": outcome.verdict,
        "reason": outcome.reason,
        "pipeline": f"{submission.pipeline} {submission.version}".strip(),
        "asked for by": f"{submission.trigger}: {submission.reason}"
        if submission.reason
        else submission.trigger,
    }
    parts = [
        bullets((name, _plain(value)) for name, value in about.items() if value),
        link,
        _word_errors(submission.evaluation),
        _listed("Checks of the gate", submission.gate.checks if submission.gate else []),
        _listed("Failed steps", [f"{name}: {text}" for name, text in outcome.failed.items()]),
        _listed("Changed parameters", [f"{name} = {text}" for name, text in submission.changes.items()]),
    ]
    return document(TITLES[outcome.verdict], *parts)[:LONGEST]


def records_in(log: str) -> tuple[Evaluation | None, GateDecision | None]:
    """Return the last word error table and the last decision that a step printed, each a line of JSON."""
    evaluation: Evaluation | None = None
    gate: GateDecision | None = None
    for line in log.splitlines():
        text = line.strip()
        if not text.startswith("{"):
            continue
        try:
            evaluation = Evaluation.model_validate_json(text)
        except ValueError:
            try:
                gate = GateDecision.model_validate_json(text)
            except ValueError:
                continue
    return evaluation, gate


def _word_errors(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return ""
    rows = evaluation.wer.get(evaluation.modality, {})
    keys = sorted({key for row in rows.values() for key in row}, key=condition_order)
    scales = sorted(rows, key=lambda scale: -Scale.parse(scale).tokens_per_second)
    cells = (
        [scale, *(f"{100 * rows[scale][key].rate:.1f}" if key in rows[scale] else "" for key in keys)]
        for scale in scales
    )
    about = f"{evaluation.corpus} at {evaluation.revision[:12]}, {evaluation.utterances} utterances"
    head = f"Word error rate in %, {evaluation.modality}"
    return f"**{head}** ({_escaped(about)})\n\n" + columns(["", *map(level, keys)], cells)


def _listed(title: str, lines: list[str]) -> str:
    if not lines:
        return ""
    return f"**{title}**\n\n" + "\n".join(f"- {_escaped(line)}" for line in lines[:50])


def _escaped(text: str) -> str:
    # bullets() is where names become text; of its line only the value is wanted.
    return bullets([("", _plain(text))]).removeprefix("- : ")


def _plain(value: str) -> str:
    text = " ".join(value.split())
    text = text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]} ..."
    return text.replace("@", f"@{BREAK}").replace("://", f":{BREAK}//").replace("www.", f"www{BREAK}.")
