"""Times several sides in one process, in turn, so that whatever slows the machine slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch

from mome.benchmark.rows import Ratio, Row, Target
from mome.progress import progress

__all__ = ["Side", "Times", "row", "time_in_turn"]

_MIN_S = 0.05  # of one repetition; what is quicker is called several times in it

Side = Callable[[], object]
Times = dict[str, list[float]]  # seconds per call, by side and repetition


def time_in_turn(sides: Mapping[str, Side], description: str, *, repetitions: int, device: str) -> Times:
    """Time each side once per repetition, after a warm-up, in an order that turns round.

    Args:
        sides: What to time, by name.
        description: For the progress bar.
        repetitions: How often.
        device: As torch names it; a GPU is waited for.

    Returns:
        Seconds per call.
    """
    calls = {name: _calls(side, device) for name, side in sides.items()}
    times: Times = {name: [] for name in sides}
    names = list(sides)
    for repetition in progress(range(repetitions), description):
        # The side that runs after a slow one finds cold caches: each takes every place.
        shift = repetition % len(names)
        for name in names[shift:] + names[:shift]:
            times[name].append(_time(sides[name], calls[name], device))
    return times


def row(what: str, times: Times, above: str, below: str, target: Target | None = None, note: str = "") -> Row:
    """Return the line that says how often ``below`` fits into ``above``.

    Whichever of the two comes first in ``times`` is what the other is compared with.
    """
    before, after = sorted((above, below), key=list(times).index)
    ratio = Ratio.of(times[above], times[below])
    return Row(what, median(times[before]), median(times[after]), ratio, target, note)


def _calls(side: Side, device: str) -> int:
    """Warm up, and return how many calls fill a repetition."""
    _time(side, 1, device)
    return max(1, round(_MIN_S / _time(side, 1, device)))


def _time(side: Side, calls: int, device: str) -> float:
    _wait(device)
    started = time.perf_counter()
    for _ in range(calls):
        side()
    _wait(device)
    return (time.perf_counter() - started) / calls


def _wait(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
