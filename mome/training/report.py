"""The picture of a training run: losses and speed by step and the run's parameters, in one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mome.config import TrainParams
from mome.machine.processor import machine
from mome.reporting.charts import Axis, Plot, colour, legend, nice_ticks
from mome.reporting.page import facts, page
from mome.storage import write_text
from mome.training.state import History

__all__ = ["training_page", "write_report"]

_SERIES = {"loss": "training loss per text token", "validation_loss": "validation loss"}


def write_report(
    path: Path, history: History, steps: Sequence[int], params: TrainParams, corpus: dict[str, Any]
) -> None:
    """Draw the losses and list the run's parameters.

    Args:
        path: HTML file to write.
        history: One row per step.
        steps: That the final weights are from.
        params: Of the run.
        corpus: ``corpus.json`` of the data set.
    """
    write_text(path, training_page(history, steps, params, corpus))


def training_page(
    history: History,
    steps: Sequence[int],
    params: TrainParams,
    corpus: dict[str, Any],
    pace: Sequence[dict[str, float]] = (),
) -> str:
    """Return the page; arguments as `write_report`.

    Args:
        history: One row per step.
        steps: That the final weights are from.
        params: Of the run.
        corpus: ``corpus.json`` of the data set.
        pace: As `mome.training.pace.read_pace` returns it.
    """
    lines = {name: [(row["step"], row[name]) for row in history if name in row] for name in _SERIES}
    losses = nice_ticks(max(loss for line in lines.values() for _, loss in line))
    num_steps = max(row["step"] for row in history)
    plot = Plot(
        Axis(0, num_steps, [(s, f"{s:g}") for s in nice_ticks(num_steps) if s <= num_steps], "step"),
        Axis(0, losses[-1], [(loss, f"{loss:g}") for loss in losses], "loss"),
        "losses by step",
    )
    for index, line in enumerate(lines.values()):
        plot.line(_smooth(line), colour(index))
    last = [(title, f"{lines[name][-1][1]:.3f}") for name, title in _SERIES.items() if lines[name]]
    wer = min(row["validation_wer"] for row in history if row["step"] in steps)
    head = facts(
        [
            ("corpus", corpus["name"]),
            ("revision", corpus["revision"]),
            *last,
            ("validation word error rate", f"{100 * wer:.1f}%"),
            ("weights of step", ", ".join(map(str, steps))),
            ("computed", f"in {params.precision} on {machine(params.device)}"),
        ]
    )
    settings = facts((name, _text(value)) for name, value in params.model_dump(mode="json").items())
    body = f"{head}{legend(list(_SERIES.values()))}{plot.svg()}{_speed(pace)}<h2>Parameters</h2>{settings}"
    return page(f"Training on {corpus['name']}", body)


def _speed(pace: Sequence[dict[str, float]]) -> str:
    if not pace:
        return ""
    seconds, utterances, speech = (
        sum(row[name] for row in pace) for name in ("seconds", "utterances", "speech_s")
    )
    rates = [(row["step"], row["utterances"] / row["seconds"]) for row in pace]
    ticks = nice_ticks(max(rate for _, rate in _smooth(rates)))
    first, last = rates[0][0], max(rates[-1][0], rates[0][0] + 1)
    marks = [(s, f"{s:g}") for s in nice_ticks(last) if first <= s <= last]
    plot = Plot(
        Axis(first, last, marks, "step"),
        Axis(0, ticks[-1], [(rate, f"{rate:g}") for rate in ticks], "utterances a second"),
        "throughput by step",
        height=200,
    )
    plot.line(_smooth(rates), colour(2))
    said = facts(
        [
            ("utterances a second", f"{utterances / seconds:.2f}"),
            ("seconds a step", f"{seconds / len(pace):.2f}"),
            ("speech", f"{speech / seconds:.1f} times as fast as it was spoken"),
            ("measured over", f"{len(pace)} steps, {seconds / 60:.1f} minutes, validation left out"),
        ]
    )
    return f"<h2>Throughput</h2>{said}{plot.svg()}"


def _smooth(line: Sequence[tuple[float, float]], most: int = 200) -> list[tuple[float, float]]:
    """Average neighbouring points, so that a long run stays a readable line."""
    size = -(-len(line) // most) or 1
    groups = [line[start : start + size] for start in range(0, len(line), size)]
    return [(group[-1][0], sum(loss for _, loss in group) / len(group)) for group in groups]


def _text(value: Any) -> str:
    """Write a parameter as people do."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
