"""The journal of decisions: JSON lines, appended one by one and read from their end."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from mome.json_lines import lines_from_the_end, open_at_the_end
from mome.records import ScaleDecision

__all__ = ["append_decision", "read_decisions"]


def read_decisions(path: Path, since: datetime) -> list[ScaleDecision]:
    """Return the decisions from ``since`` on, oldest first; none when there is no file yet.

    A line that is no decision is passed over: what was decided before it still counts.
    """
    decisions: list[ScaleDecision] = []
    if not path.exists():
        return decisions
    for line in lines_from_the_end(path):
        try:
            decision = ScaleDecision.model_validate_json(line)
        except ValidationError:
            continue
        if decision.at < since:
            break
        decisions.append(decision)
    return decisions[::-1]


def append_decision(path: Path, decision: ScaleDecision) -> None:
    """Append one line."""
    with open_at_the_end(path) as file:
        file.write(decision.model_dump_json().encode() + b"\n")
