"""A burst of callers, at a scale that stays and at the monitor's: ``python -m monitoring.simulator.callers``.

Twenty minutes of an ordinary rate, twenty of three times that, and twenty of the first again, in babble in
which the coarsest scale keeps the promise on words, and in babble in which it does not.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mome.cli import main
from mome.config import MonitorParams
from mome.progress import progress
from mome.reporting.markdown import columns
from monitoring.parameters import load_monitor_params
from monitoring.simulator.queue import Callers, Played, arrivals, play, service_s, windows_outside
from monitoring.simulator.world import SCALES, World, evaluation

__all__ = ["held_rate", "missed"]

_TRAFFIC = Path("manifests/components/monitor/monitor.yaml")
_PART_S = 1200.0
_SETTLES_S = 300.0  # at first, which do not count: nothing was measured yet
_BURST = 3.0
_ORDINARY = 0.45  # of what the workers carry at the finest scale
_LEVELS_DB = (10.0, 3.0)
_TRIES = 10  # halvings of the interval that the rate is searched in
_STEADY_S = 3600.0

HEAD = (
    "callers",
    "scale",
    "late or refused",
    "p95 in the burst",
    "tokens",
    "windows over the promise",
    "switches",
)


def missed(latency_s: np.ndarray, max_latency_s: float) -> int:
    """Return how many were answered too late, or refused."""
    return int((latency_s > max_latency_s).sum())


def held_rate(
    serve: Callable[[Callers], Played], most_per_s: float, max_latency_s: float, seed: int
) -> float:
    """Return the highest steady rate, in callers a second, at which 95 of 100 are answered in time.

    Args:
        serve: Plays callers.
        most_per_s: More is not looked for.
        max_latency_s: Promised.
        seed: Of the callers.
    """
    low, high = 0.0, most_per_s
    for _ in range(_TRIES):
        rate = (low + high) / 2
        callers = arrivals([(_STEADY_S, rate)], _LEVELS_DB[0], np.random.default_rng(seed))
        latency_s = serve(callers).latency_s[callers.at_s > _SETTLES_S]
        held = missed(latency_s, max_latency_s) <= 0.05 * len(latency_s)
        low, high = (rate, high) if held else (low, rate)
    return low


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m monitoring.simulator.callers", description=__doc__)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--max-latency-s", type=float, default=10.0, help="promised to 95 of 100 callers")
    parser.add_argument("--max-wer", type=float, default=0.04, help="promised, too")
    parser.add_argument("--reaches-s", type=float, default=1.0, help="until a decision is served")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--params", type=Path, default=_TRAFFIC, help="its section monitor counts otherwise")
    given = parser.parse_args()
    world = World.published()
    table = evaluation(world)
    params = load_monitor_params(given.params).model_copy(
        update={"max_wer": {"av": given.max_wer}, "max_latency_ms": 1000 * given.max_latency_s}
    )

    def server(chosen: MonitorParams | None, scale_index: int = 0) -> Callable[[Callers], Played]:
        rng = np.random.default_rng(given.seed)
        return lambda callers: play(
            callers, given.workers, table, chosen, rng, SCALES[scale_index], given.reaches_s
        )

    rules = {
        f"always {SCALES[0]}": server(None),
        f"always {SCALES[-1]}": server(None, len(SCALES) - 1),
        "monitor, spend: spare": server(params.model_copy(update={"spend": "spare"})),
        "monitor, spend: least": server(params),
    }
    carried = given.workers / service_s(SCALES[0], 10.0)
    tokens = np.array([scale.tokens_per_second for scale in SCALES])
    rows = []
    for level_db in _LEVELS_DB:
        rate = _ORDINARY * carried
        parts = [(_SETTLES_S + _PART_S, rate), (_PART_S, _BURST * rate), (_PART_S, rate)]
        everybody = arrivals(parts, level_db, np.random.default_rng(given.seed))
        count = everybody.at_s >= _SETTLES_S
        callers = Callers(*(each[count] for each in everybody))
        burst = (callers.at_s >= _SETTLES_S + _PART_S) & (callers.at_s < _SETTLES_S + 2 * _PART_S)
        for name, serve in rules.items():
            played = serve(everybody)
            played = played._replace(latency_s=played.latency_s[count], scale=played.scale[count])
            over, windows = windows_outside(callers, played, world, given.max_wer)
            answered = np.isfinite(played.latency_s)
            p95_s = float(np.percentile(played.latency_s[burst & answered], 95))
            switched = [decision for decision in played.decisions if decision.switched]
            causes = [decision.cause for decision in switched]
            rows.append(
                [
                    f"{len(callers.at_s)} in babble of {level_db:g} dB"
                    if name.endswith(str(SCALES[0]))
                    else "",
                    name,
                    f"{missed(played.latency_s, given.max_latency_s)} ({int((~answered).sum())} refused)",
                    f"{p95_s:.1f} s",
                    f"{tokens[played.scale[answered]].mean() / tokens[0]:.0%}",
                    f"{over} of {windows}",
                    f"{len(switched)} ({causes.count('load')} by load)",
                ]
            )
    print(columns(HEAD, rows))
    print(
        f"{given.workers} workers carry {carried:.2f} callers/s at {SCALES[0]}; {_ORDINARY:.0%} of that, then"
        f" {_BURST:g} times as many; 95 % within {given.max_latency_s:g} s and {given.max_wer:.1%} promised."
    )
    held = {
        name: held_rate(serve, 2 * carried, given.max_latency_s, given.seed)
        for name, serve in progress(list(rules.items()), "rates")
    }
    first = next(iter(held.values()))
    for name, found in held.items():
        print(f"held at the promise, {name}: {found:.2f} callers/s, {found / first:.2f} times the first")


if __name__ == "__main__":
    raise SystemExit(main(_command))
