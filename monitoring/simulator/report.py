"""The simulation for people: a table of all rules, and for each scenario what was served, what was best."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mome.reporting.charts import Axis, Plot, colour, legend
from mome.reporting.report import Report
from mome.storage import write_text
from monitoring.simulator.outcome import Outcome
from monitoring.simulator.traffic import Traffic
from monitoring.simulator.world import SCALES

__all__ = ["HEAD", "Played", "rows", "write"]

HEAD = (
    "scenario",
    "rule",
    "tokens ÷ oracle's",
    "time outside the promise",
    "word errors",
    "switches",
    "taken back within 10 min",
)
_POINTS = 400  # of a line
_COLOURS = ("#0067a5", "#c2571a", "#1b8a5a")


class Played(NamedTuple):
    """One scenario: its traffic, what the oracle and the monitor chose, and what each rule came to."""

    traffic: Traffic
    best: np.ndarray
    served: np.ndarray
    outcomes: dict[str, Outcome]


def rows(played: Mapping[str, Played]) -> list[list[str]]:
    """Return the table under `HEAD`."""
    return [
        [
            name if number == 0 else "",
            rule,
            f"{found.tokens:.2f}",
            f"{found.outside:.2%}",
            f"{found.wer:.2%}",
            str(found.switches),
            str(found.flaps),
        ]
        for name, scenario in played.items()
        for number, (rule, found) in enumerate(scenario.outcomes.items())
    ]


def write(played: Mapping[str, Played], max_wer: float, said: str, folder: Path) -> None:
    """Write ``simulation.html`` and a picture of each scenario."""
    report = Report("The monitor in simulated traffic")
    report.say(said)
    report.table(HEAD, rows(played))
    for name, scenario in played.items():
        report.heading(name)
        report.picture(legend(["best, by an oracle", "served"]))
        served, rates = _served(scenario), _rates(scenario, max_wer)
        report.picture(served + rates)
        write_text(
            folder / f"{name.replace(' ', '-').replace(',', '').replace('%', 'percent')}.svg", _alone(served)
        )
    report.write(folder / "simulation.html")


def _served(scenario: Played) -> str:
    days, every = _days(scenario.traffic)
    names = {len(SCALES) - number: str(scale) for number, scale in enumerate(SCALES)}
    plot = Plot(
        _time(days),
        Axis(0.5, len(SCALES) + 0.5, list(names.items()), "finer upwards"),
        "Scale over time: the oracle's and the monitor's",
        height=240,
    )
    for number, chosen in enumerate((scenario.best, scenario.served)):
        heights = len(SCALES) - chosen[every] - 0.12 * number
        points = list(zip(days[every].tolist(), heights.tolist(), strict=True))
        plot.line(points, colour(number), step=True)
    return plot.svg()


def _rates(scenario: Played, max_wer: float) -> str:
    days, every = _days(scenario.traffic)
    rates = 100 * scenario.traffic.mean_wer[scenario.served, np.arange(len(days))][every]
    high = max(1.5 * 100 * max_wer, float(rates.max()))
    plot = Plot(
        _time(days),
        Axis(
            0.0, high, [(0.0, "0"), (100 * max_wer, f"{max_wer:.0%}"), (high, f"{high:.0f}%")], "word errors"
        ),
        "True word error rate of what was served, over time, and the promise",
        height=200,
    )
    plot.line([(float(days[0]), 100 * max_wer), (float(days[-1]), 100 * max_wer)], colour(2), name="promise")
    plot.line(list(zip(days[every].tolist(), rates.tolist(), strict=True)), colour(1))
    return plot.svg()


def _days(traffic: Traffic) -> tuple[np.ndarray, np.ndarray]:
    """Return the time of every request in days, and which of them are drawn."""
    return traffic.at / 86400, np.unique(np.linspace(0, len(traffic.at) - 1, _POINTS).astype(int))


def _time(days: np.ndarray) -> Axis:
    last = float(days[-1])
    return Axis(0.0, last, [(day, str(day)) for day in range(int(last) + 1)], "days")


def _alone(svg: str) -> str:
    """Return a drawing that is a file of its own: its colours do not come from a page."""
    for number, shade in enumerate(_COLOURS):
        svg = svg.replace(f"var(--s{number})", shade)
    style = "text{fill:#5d6670;font:12px sans-serif}.grid{stroke:#d9dee3}rect.paper{fill:#fff}"
    paper = '<rect class="paper" width="100%" height="100%"/>'
    head, body = svg.split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{style}</style>{paper}{body}\n'
