"""The performance table as Markdown, with the machine that it was measured on."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from datetime import date

import psutil
import torch

from mome.benchmark.options import Options
from mome.benchmark.rows import Row
from mome.machine.processor import processor

__all__ = ["document", "machine"]

_HEAD = ("what", "compared with", "ours", "ratio", "lowest to highest", "target", "", "note")
_INTRODUCTION = """\
# Performance

Ratios of times that were measured side by side: both sides in one process, in turn, after a warm-up;
the median of {repetitions} repetitions, with the lowest and the highest. Before a comparison is timed,
both sides are shown to compute the same; the command fails if they do not. Models have random weights.

The *published recipe* loops over experts in Python, runs the LLM once per scale, encodes anew whatever
it needs, and pads sound to all of Whisper's positions. In training it encodes a batch once for its four
pairs, as the published code does. A ratio is a speed-up where the target is a lower bound, and a cost
where it is an upper bound.
"""


def document(rows: Sequence[Row], options: Options, command: str) -> str:
    """Return the page: how it was measured, on what, and one line per row."""
    lines = [_INTRODUCTION.format(repetitions=options.repetitions)]
    if options.quick:
        lines.append(
            "**Quick run with tiny sizes: shows that the command works, says nothing about speed.**\n"
        )
    lines += [f"- {name}: {value}" for name, value in machine(options.device).items()]
    lines += [f"- command: `{command}`", "", _line(_HEAD), _line("---" for _ in _HEAD)]
    lines += [_line(_cells(row)) for row in rows]
    return "\n".join(lines) + "\n"


def machine(device: str) -> dict[str, str]:
    """Describe what the figures depend on."""
    on_gpu = torch.device(device).type == "cuda"
    return {
        "measured on": date.today().isoformat(),
        "CPU": f"{processor().name}, {psutil.cpu_count(logical=True)} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "GPU": torch.cuda.get_device_name(device) if on_gpu else "none",
        "software": f"Python {platform.python_version()}, torch {torch.__version__}",
        "threads": str(torch.get_num_threads()),
    }


def _cells(row: Row) -> list[str]:
    target = "" if row.target is None else str(row.target)
    if row.ratio is None or row.before_s is None or row.after_s is None:
        return [row.what, "", "", "", "", target, row.verdict, row.note]
    return [
        row.what,
        _duration(row.before_s),
        _duration(row.after_s),
        f"{row.ratio.median:.2f}",
        f"{row.ratio.low:.2f} to {row.ratio.high:.2f}",
        target,
        row.verdict,
        row.note,
    ]


def _duration(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
