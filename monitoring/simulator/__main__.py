"""Play weeks of traffic to the monitor, an oracle and simpler rules: ``python -m monitoring.simulator``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mome.cli import main
from mome.config import MonitorParams
from mome.errors import MonitorError
from mome.reporting.markdown import columns
from mome.storage import write_text
from monitoring.parameters import load_monitor_params
from monitoring.simulator import report, rules
from monitoring.simulator.outcome import measure_outcome
from monitoring.simulator.traffic import SCENARIOS, make
from monitoring.simulator.world import SCALES, World, evaluation

__all__ = ["play"]

_TRAFFIC = Path("manifests/components/monitor/monitor.yaml")


def play(name: str, days: float, params: MonitorParams, seed: int) -> report.Played:
    """Play one scenario to all rules.

    Args:
        name: Of `SCENARIOS`.
        days: How long.
        params: Of the monitor; the promise counts for all.
        seed: Of the traffic.

    Raises:
        MonitorError: If there is no such scenario.
    """
    if name not in SCENARIOS:
        raise MonitorError(f"unknown scenario {name!r}: expected one of {', '.join(SCENARIOS)}")
    world = World.published()
    table, max_wer = evaluation(world), params.max_wer["av"]
    traffic = make(name, days, world, seed)
    best = rules.oracle(traffic, max_wer)
    served, decisions = rules.monitor(traffic, table, params)
    chosen = {
        "oracle": best,
        "monitor": served,
        "median of the window": rules.median(traffic, table, params),
        f"always {SCALES[0]}": rules.fixed(traffic, SCALES[0]),
        f"always {SCALES[-1]}": rules.fixed(traffic, SCALES[-1]),
        "each request by itself": rules.per_request(traffic, table, max_wer),
        "auto": rules.auto(traffic, table, params, decisions),
    }
    outcomes = {rule: measure_outcome(traffic, scales, best, max_wer) for rule, scales in chosen.items()}
    return report.Played(traffic, best, served, outcomes)


# A sign of percent in a name would be one of argparse's.
_SCENARIOS = f"of {', '.join(SCENARIOS)}; all unless given".replace("%", "%%")


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m monitoring.simulator", description=__doc__)
    parser.add_argument("scenarios", nargs="*", help=_SCENARIOS)
    parser.add_argument("--days", type=float, default=14.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--max-wer", type=float, default=0.04, help="promised to callers")
    parser.add_argument("--params", type=Path, default=_TRAFFIC, help="its section monitor counts otherwise")
    parser.add_argument("--out", type=Path, default=Path("reports/simulation"), help="folder for the page")
    given = parser.parse_args()
    params = load_monitor_params(given.params).model_copy(update={"max_wer": {"av": given.max_wer}})
    played = {name: play(name, given.days, params, given.seed) for name in given.scenarios or SCENARIOS}
    requests = sum(len(scenario.traffic.at) for scenario in played.values())
    said = (
        f"{given.days:g} days of {len(played)} scenarios, {requests} requests; {given.max_wer:.1%} promised."
    )
    report.write(played, given.max_wer, said, given.out)
    figures = {
        name: {rule: outcome._asdict() for rule, outcome in scenario.outcomes.items()}
        for name, scenario in played.items()
    }
    write_text(given.out / "simulation.json", json.dumps(figures, indent=2) + "\n")
    print(columns(report.HEAD, report.rows(played)))
    print(f"{said} {given.out / 'simulation.html'}")


if __name__ == "__main__":
    raise SystemExit(main(_command))
