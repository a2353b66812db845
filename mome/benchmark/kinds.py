"""``python -m mome.benchmark.kinds``: one step of each lesson and of training, by kind of processor.

A kind that is not at hand is imitated by the libraries' own switches, in a process of its own; the page says
which rows are imitations. The kinds take turns, so that whatever slows the machine slows all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from mome.benchmark.table import machine as machine_facts
from mome.cli import main
from mome.errors import TrainingError
from mome.machine.processor import Instructions, find_processor, instruction_names
from mome.progress import progress
from mome.storage import write_text

__all__ = ["Kind", "kinds", "measure", "page", "quickest", "slowdown"]

# The libraries' switches for each kind that a better one can imitate, from the least on.
_SWITCHES: dict[Instructions, dict[str, str]] = {
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "avx512": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
    "avx512-bf16": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"},
}
_PRECISIONS = ("float32", "bfloat16")
_CHECKS = 2  # of each kind, in turn

Seconds = dict[str, dict[str, float]]  # by what is computed and precision


class Kind(NamedTuple):
    """A kind of processor that can be measured here.

    Args:
        instructions: What it has.
        switches: That imitate it; empty for the one that is here.
    """

    instructions: Instructions
    switches: Mapping[str, str]

    @property
    def name(self) -> str:
        """As the page calls it."""
        return instruction_names[self.instructions] + (" (imitated)" if self.switches else "")

    @property
    def auto(self) -> str:
        """What ``precision: auto`` is on it."""
        return find_processor(environment=os.environ | self.switches).precision


def kinds(here: Instructions) -> list[Kind]:
    """Return the kinds that a processor can be, or be made to look like, from the least on."""
    order = list(_SWITCHES)
    if here not in (*order, "amx"):
        return [Kind(here, {})]
    below = order if here == "amx" else order[: order.index(here)]
    return [*(Kind(each, _SWITCHES[each]) for each in below), Kind(here, {})]


def measure(kind: Kind, precisions: Sequence[str]) -> Seconds:
    """Return the seconds of each step on a kind, measured in a process of its own.

    Raises:
        TrainingError: If that process fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "seconds.json"
        command = [sys.executable, "-m", "mome.benchmark.lessons", "--output", str(output)]
        done = subprocess.run(
            [*command, "--precisions", *precisions],
            env=os.environ | dict(kind.switches),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise TrainingError(f"{kind.name}: the measurement ended with {done.returncode}: {done.stderr}")
        found: Seconds = json.loads(output.read_text())
    return found


def slowdown(slow: Seconds, fast: Seconds) -> dict[str, float]:
    """Return how many times as long each step takes, both in their first precision."""
    return {
        name: next(iter(times.values())) / next(iter(fast[name].values())) for name, times in slow.items()
    }


def quickest(runs: Sequence[Seconds]) -> Seconds:
    """Return the least time of each step: whatever else the machine did only ever added to it."""
    return {
        name: {precision: min(run[name][precision] for run in runs) for precision in times}
        for name, times in runs[0].items()
    }


def page(found: Sequence[tuple[Kind, Sequence[Seconds]]]) -> str:
    """Return the table as Markdown: milliseconds in both precisions, and what ``auto`` costs over the better.

    Args:
        found: Each kind with what was measured of it, once per repetition.
    """
    lines = ["| processor | auto | step | float32, ms | bfloat16, ms | auto ÷ the better |"]
    lines.append("|" + " --- |" * 6)
    for kind, runs in found:
        for name in runs[0]:
            times = {precision: median(run[name][precision] for run in runs) for precision in _PRECISIONS}
            over = times[kind.auto] / min(times.values())
            figures = " | ".join(f"{1000 * times[precision]:.0f}" for precision in _PRECISIONS)
            lines.append(f"| {kind.name} | {kind.auto} | {name} | {figures} | {over:.2f} |")
    return "\n".join(lines) + "\n"


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m mome.benchmark.kinds", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3, help="of every kind, in turn; default: 3")
    parser.add_argument(
        "--check",
        type=float,
        metavar="TIMES",
        help="measure only the least kind against this machine, and fail if a step takes more times as long",
    )
    parser.add_argument("--output", type=Path, help="Markdown file to write as well")
    given = parser.parse_args()
    there = kinds(find_processor().instructions)
    if given.check is not None:
        _check(there, given.check)
        return
    found: list[tuple[Kind, list[Seconds]]] = [(kind, []) for kind in there]
    for kind, runs in progress(found * given.repetitions, "measure"):
        runs.append(measure(kind, _PRECISIONS))
    text = "\n".join(f"- {name}: {value}" for name, value in machine_facts("cpu").items())
    text += "\n\n" + page(found)
    print(text, end="")
    if given.output is not None:
        write_text(given.output, text)


def _check(there: Sequence[Kind], most: float) -> None:
    least, here = there[0], there[-1]
    runs: dict[str, list[Seconds]] = {least.name: [], here.name: []}
    for _ in range(_CHECKS):
        for kind in (least, here):
            runs[kind.name].append(measure(kind, ["auto"]))
    ratios = slowdown(quickest(runs[least.name]), quickest(runs[here.name]))
    for name, ratio in ratios.items():
        print(f"{name}: {least.name} takes {ratio:.2f} times as long as {here.name}")
    if (worst := max(ratios.values())) > most:
        raise TrainingError(
            f"a step takes {worst:.2f} times as long on {least.name}, at most {most:g} is allowed"
        )


if __name__ == "__main__":
    raise SystemExit(main(_command))
