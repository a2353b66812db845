"""What a training came to, for people and for comparing runs: page and figures from its checkpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mome.config import TrainParams, parse_section
from mome.errors import CheckpointError
from mome.machine.processor import precision_bits
from mome.storage import write_text
from mome.training.pace import read_pace
from mome.training.report import training_page
from mome.training.selection import chosen_steps

__all__ = ["describe"]


def describe(checkpoint: Path, work: Path, page: Path) -> dict[str, float | str]:
    """Write the page of a training and return its figures and where it comes from, flat.

    Args:
        checkpoint: Folder that training wrote.
        work: Folder that it worked in, where its pace is kept.
        page: HTML file to write.

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
    return {
        "corpus": corpus["name"],
        "revision": corpus["revision"],
        "method": params.method,
        "scales": ", ".join(params.scales),
        "loss": history[-1]["loss"],
        "validation_loss": min(row["validation_loss"] for row in kept),
        "validation_wer": min(row["validation_wer"] for row in kept),
        "steps": float(len(history)),
        "precision_bits": precision_bits(params.precision),
        **_throughput(pace),
    }


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
