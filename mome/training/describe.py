"""What a training came to, for people and for comparing runs: page, card and figures from its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mome.config import TrainParams, parse_section
from mome.errors import CheckpointError
from mome.machine.processor import machine, precision_bits
from mome.reporting.card import bullets, card
from mome.storage import write_text
from mome.training.pace import read_pace
from mome.training.report import training_page
from mome.training.selection import chosen_steps

__all__ = ["describe"]


def describe(checkpoint: Path, work: Path, page: Path, markdown: Path) -> dict[str, float]:
    """Write the page and the card of a training and return its figures, flat.

    Args:
        checkpoint: Folder that training wrote.
        work: Folder that it worked in, where its pace is kept.
        page: HTML file to write.
        markdown: Markdown file to write.

    Raises:
        CheckpointError: If the folder is no checkpoint.
    """
    try:
        about = json.loads((checkpoint / "config.json").read_text())
        history = json.loads((checkpoint / "history.json").read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{checkpoint}: not a checkpoint: {error}") from error
    params, corpus = parse_section(TrainParams, about["train"]), about["corpus"]
    pace = read_pace(work, checkpoint)
    steps = chosen_steps(history, params)
    write_text(page, training_page(history, steps, params, corpus, pace))
    # By step, for the rows of a history: the weights may come from an earlier step than the last.
    kept = [row for row in history if row["step"] in steps]
    figures = {
        "loss": history[-1]["loss"],
        "validation_loss": min(row["validation_loss"] for row in kept),
        "validation_wer": min(row["validation_wer"] for row in kept),
        "steps": float(len(history)),
        "precision_bits": precision_bits(params.precision),
        **_throughput(pace),
    }
    speed = "not measured: nothing was left to train"
    if pace:
        speed = (
            f"{figures['utterances_per_s']:.2f} utterances a second, {figures['step_s']:.2f} s a step, "
            f"speech {figures['times_real_time']:.1f} times as fast as it was spoken"
        )
    about_run: list[tuple[str, object]] = [
        ("corpus", corpus["name"]),
        ("revision", corpus["revision"]),
        ("method", f"{params.method} at {', '.join(params.scales)}"),
        ("validation word error rate", f"{figures['validation_wer']:.1%}"),
        ("weights of step", f"{', '.join(map(str, steps))} of {len(history)}"),
        ("training loss at the end", f"{figures['loss']:.3f}"),
        ("throughput", speed),
        ("computed", f"in {params.precision} on {machine(params.device)}"),
    ]
    write_text(markdown, card(f"Training on {corpus['name']}", bullets(about_run)))
    return figures


def _throughput(pace: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return means over the measured steps; absent without one."""
    if not pace:
        return {}
    seconds = sum(row["seconds"] for row in pace)
    return {
        "step_s": seconds / len(pace),
        "utterances_per_s": sum(row["utterances"] for row in pace) / seconds,
        "times_real_time": sum(row["speech_s"] for row in pace) / seconds,
    }
