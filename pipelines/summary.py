"""What a run came to: ``summary.json`` for machines, one page of text for people."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from mome.records import Evaluation, GateDecision, Modality, Rehearsal, condition_order
from mome.scales import Scale
from mome.storage import write_text
from pipelines.execution import Stage, StageFailed

__all__ = ["describe", "summarise", "write_summary"]


def summarise(stages: dict[str, Stage], *, hypotheses: Path | None, peak_rss_bytes: int) -> dict[str, Any]:
    """Gather the figures of a run; what a run that stopped early did not reach is absent.

    Args:
        stages: The stages that ended well, and a failed gate, whose decision is written all the same.
        hypotheses: Where the transcripts lie that the word errors were counted on.
        peak_rss_bytes: Highest resident memory of the job with all its processes.
    """
    summary: dict[str, Any] = {}
    if "evaluate" in stages:
        evaluation = Evaluation.read(stages["evaluate"].path("evaluation") / "evaluation.json")
        table = evaluation.model_dump(mode="json")["wer"]
        summary |= {"corpus": evaluation.corpus, "revision": evaluation.revision, "wer": table}
        summary["hypotheses"] = str(hypotheses)
    decision = _gate_decision(stages)
    if decision is not None:
        summary["gate"] = {"passed": decision.passed, "reason": decision.reason}
    if "rehearse" in stages:
        rehearsal = _rehearsal(stages)
        content = rehearsal.model_dump(mode="json", by_alias=True)
        summary |= {"switches": content["switches"], "requests": content["requests"]}
        summary["latency_ms"] = {
            scale: {key: latency[key] for key in ("p50", "p95")}
            for scale, latency in content["latency_ms"].items()
        }
    summary["seconds"] = {name: round(stage.seconds, 2) for name, stage in stages.items()}
    summary["reused"] = [name for name, stage in stages.items() if stage.reused]
    summary["peak_rss_bytes"] = peak_rss_bytes
    return summary


def write_summary(summary: dict[str, Any], failure: StageFailed | None, paths: list[Path]) -> None:
    """Write the summary to each path; a failed run says so in it."""
    failed = {} if failure is None else {"failed": {"stage": failure.stage.name, "reason": str(failure)}}
    for path in paths:
        write_text(path, json.dumps(failed | summary, indent=2, allow_nan=False) + "\n")


def describe(summary: dict[str, Any], stages: dict[str, Stage], reports: dict[str, Path]) -> str:
    """Return the closing page: word errors, gate, served scale over time, latency, where to look."""
    parts: list[str] = []
    if "wer" in summary:
        parts.append(_word_errors(summary["wer"]))
    if "gate" in summary:
        verdict = "passed" if summary["gate"]["passed"] else "rejected"
        parts.append(f"Gate: {verdict}. {summary['gate']['reason']}")
    if "rehearse" in stages:
        parts.append(_served(_rehearsal(stages)))
        parts.append(_latency(summary["latency_ms"]))
    total = sum(summary["seconds"].values())
    memory = summary["peak_rss_bytes"] / 2**30
    parts.append(f"{total / 60:.1f} minutes, at most {memory:.1f} GiB of memory")
    width = max((len(name) for name in reports), default=0)
    parts.append(
        "\n".join(["Where to look", *(f"  {name:<{width}}  {path}" for name, path in reports.items())])
    )
    return "\n\n".join(parts)


def _gate_decision(stages: dict[str, Stage]) -> GateDecision | None:
    if "gate" not in stages:
        return None
    path = stages["gate"].folder / "decision" / "gate.json"
    return GateDecision.read(path) if path.exists() else None


def _rehearsal(stages: dict[str, Stage]) -> Rehearsal:
    return Rehearsal.read(stages["rehearse"].path("rehearsal") / "rehearsal.json")


def _word_errors(table: dict[str, dict[str, dict[str, dict[str, float]]]]) -> str:
    """Lay the table out: finest scale first, noise growing to the right."""
    lines = ["Word error rate in % (noise at an SNR in dB)"]
    for modality in (name for name in get_args(Modality) if name in table):
        rows = table[modality]
        levels = sorted(next(iter(rows.values())), key=condition_order)
        lines.append(f"  {modality:<6}" + "".join(f"{level.replace('_', ' '):>11}" for level in levels))
        for scale in sorted(rows, key=lambda scale: -Scale.parse(scale).tokens_per_second):
            rates = (100 * rows[scale][level]["errors"] / rows[scale][level]["words"] for level in levels)
            lines.append(f"  {scale:<6}" + "".join(f"{rate:11.1f}" for rate in rates))
    return "\n".join(lines)


def _served(rehearsal: Rehearsal) -> str:
    first = rehearsal.decisions[0]
    started = rehearsal.switches[0].from_scale if rehearsal.switches else first.scale
    switches = (
        f"  {_clock(switch.at, first.at)}  {switch.to_scale:<6} {switch.reason}"
        for switch in rehearsal.switches
    )
    counts = rehearsal.requests
    answered = f"  {counts.sent} requests sent, {counts.answered} answered, {counts.lost} lost"
    lines = ["Served scale over time", f"  0:00  {started:<6} as packaged", *switches, answered]
    return "\n".join(lines)


def _clock(moment: datetime, start: datetime) -> str:
    seconds = max(0, int((moment - start).total_seconds()))
    return f"{seconds // 60}:{seconds % 60:02d}"


def _latency(latency: dict[str, dict[str, float]]) -> str:
    lines = (f"  {scale:<6} {cell['p50']:.0f} ms" for scale, cell in latency.items())
    return "\n".join(["Median latency", *lines])
