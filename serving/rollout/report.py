"""The trial for people: what is decided, the four rates with their bounds, and what to do next."""

from __future__ import annotations

from typing import Any

from mome.reporting.report import Report
from serving.rollout.trial import TrialState

__all__ = ["add_evidence", "as_json", "as_page"]

_NAMES = {
    "failures": "no answer, where the champion had one",
    "empty": "no words, where the champion had some",
    "slow": "late",
    "disagreement": "words unlike the champion's",
}
_NEXT = {
    "undecided": "Wait, or raise the share: the figures need requests.",
    "proven": "Make it the champion: its version into mome-model, the component out of the overlay, and "
    "apply. Nothing does that by itself.",
    "withdrawn": "It gets no request any more. Take the component out of the overlay and apply; the registry "
    "keeps the version, and whoever looks for the fault has it there.",
}
_CANARY = (
    "Let callers have its replies: canary as mode in mome-rollout, and apply. A trial of its own begins."
)


def as_json(state: TrialState) -> dict[str, Any]:
    """Return the state as programs read it."""
    sums = {"criteria", "champion_s", "candidate_s", "champion_wer", "candidate_wer"}
    known = state.model_dump(mode="json", exclude=sums)
    known["latency_ratio"] = state.latency_ratio
    known["estimated_wer"] = state.estimated_wer
    known["rates"] = {
        name: {
            "rate": found.rate,
            "low": found.interval[0],
            "high": found.interval[1],
            "requests": found.number,
            "bound": found.bound,
        }
        for name, found in state.criteria.items()
    }
    return known


def as_page(state: TrialState) -> str:
    """Return the state as people read it."""
    report = Report(f"Candidate {state.versions.get('candidate', state.name)}")
    add_evidence(report, state)
    report.heading("Next")
    is_heard = state.decision == "proven" and state.mode == "shadow"
    report.say(_CANARY if is_heard else _NEXT[state.decision])
    return report.html()


def add_evidence(report: Report, state: TrialState) -> None:
    """Add what is known of a candidate to a report."""
    report.verdict(state.decision != "withdrawn", state.decision, state.why)
    ratio, estimated = state.latency_ratio, state.estimated_wer
    replies = "the champion's alone" if state.mode == "shadow" else "the candidate's, for its share"
    told = "–"
    if estimated:
        told = (
            f"{estimated['candidate']:.1%}, the champion's {estimated['champion']:.1%}, of {state.estimated} "
            "requests, each by its own calibration"
        )
    report.facts(
        [
            ("trial", state.name),
            ("champion", state.versions.get("champion", "has not answered yet")),
            ("candidate", state.versions.get("candidate", "has not answered yet")),
            ("mode", f"{state.mode}: callers get {replies}"),
            ("share", f"{state.share:.0%} of the transcriptions"),
            ("began", f"{state.began:%Y-%m-%d %H:%M} UTC"),
            ("decided", "–" if state.decided is None else f"{state.decided:%Y-%m-%d %H:%M} UTC"),
            ("given to the candidate", state.sent),
            ("compared", state.compared),
            ("time, of the champion's", "–" if ratio is None else f"{ratio:.2f} times"),
            ("estimated word errors", told),
        ]
    )
    report.heading("Against the champion, on the same requests")
    rows = [
        [
            _NAMES[name],
            f"{found.rate:.1%}" if found.number else "–",
            f"{found.interval[0]:.1%} to {found.interval[1]:.1%}" if found.number else "–",
            f"{found.bound:.0%}",
            str(found.number),
        ]
        for name, found in state.criteria.items()
    ]
    report.table(["of its requests", "rate", "95 %", "bound", "requests"], rows)
    bounds = state.bounds
    report.say(
        f"Late is more than {bounds.slow_ratio:g} times the champion's time and more than "
        f"{bounds.slack_s:g} s after it. Two good models differ in words, too: by at most the errors of both."
    )
    report.say(
        "A candidate whose rates are all within their bounds is withdrawn in at most "
        f"{bounds.false_alarm:.0%} of all trials, however long they last. The interval is for one look."
    )
