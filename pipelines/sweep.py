"""Several settings side by side: ``python -m pipelines.sweep --key width --vary train.top_k=2,4``.

Every combination is a run of the training pipeline with changes of its own, in one experiment, a few at a
time; what they share comes from the cache. A page compares what they came to. The same command with the same
``--key`` goes on where it stopped.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mome.cli import main
from mome.errors import ConfigError, MomeError
from mome.evaluation.report import finest_first
from mome.records import Evaluation, level
from mome.reporting.report import Report
from pipelines.calls import Patience, one_line
from pipelines.client import Connection, add_options
from pipelines.cluster import steps
from pipelines.submit.job import Wishes, execute
from pipelines.submit.outcome import Submission
from pipelines.submit.plan import Plan, plan

__all__ = ["combinations", "describe"]

MOST = 64  # runs of a sweep: more are a mistake sooner than a wish
DAY_S = 86400.0


@dataclass(frozen=True)
class Variation:
    """One combination of values, and what its run came to, or why there is none."""

    changes: tuple[str, ...]  # name=value
    submission: Submission | None = None
    error: str = ""

    @property
    def evaluation(self) -> Evaluation | None:
        """The word errors, as far as the run came to any."""
        return None if self.submission is None else self.submission.evaluation


def combinations(varied: Sequence[str]) -> list[tuple[str, ...]]:
    """Return every combination of values, each as ``name=value``.

    Args:
        varied: ``name=value,value``, or ``name=[..];[..]`` where values hold commas.

    Raises:
        ConfigError: If one has no value, a name comes twice, or there are too many combinations.
    """
    choices: dict[str, list[str]] = {}
    for text in varied:
        name, equals, values = text.partition("=")
        separator = ";" if ";" in values else ","
        found = [value.strip() for value in values.split(separator)]
        if not equals or "." not in name or not all(found):
            raise ConfigError(f"--vary {text}: expected section.name=value,value, as in train.top_k=2,4")
        if name in choices:
            raise ConfigError(f"--vary {name}: given twice")
        choices[name] = [f"{name}={value}" for value in dict.fromkeys(found)]
    found_all = list(itertools.product(*choices.values()))
    if not varied or len(found_all) > MOST:
        raise ConfigError(
            f"{len(found_all)} combinations; expected at least one --vary and at most {MOST} runs"
        )
    return found_all


def describe(name: str, variations: Sequence[Variation], page: Path) -> None:
    """Write the page that compares: a combination a row, a scale a column, a table for each noise level.

    Args:
        name: Of the sweep.
        variations: With what they came to.
        page: HTML file to write.
    """
    ended = [each for each in variations if each.evaluation is not None]
    report = Report(f"Sweep {name}")
    report.verdict(
        len(ended) == len(variations), f"{len(ended)} of {len(variations)}", "combinations have word errors"
    )
    report.table(
        ["combination", "verdict", "why", "run"],
        [
            [
                ", ".join(each.changes),
                "error" if each.submission is None else each.submission.outcome.verdict,
                each.error if each.submission is None else each.submission.outcome.reason,
                "–" if each.submission is None else each.submission.run_url,
            ]
            for each in variations
        ],
        numbers=False,
    )
    tables = [(each, each.evaluation.wer[each.evaluation.modality]) for each in ended if each.evaluation]
    levels = dict.fromkeys(key for _, table in tables for row in table.values() for key in row)
    for key in levels:
        scales = finest_first({scale for _, table in tables for scale in table if key in table[scale]})
        rates = [[table[scale][key].rate if key in table.get(scale, {}) else None for scale in scales]
                 for _, table in tables]  # fmt: skip
        best = [min(rate for rate in column if rate is not None) for column in zip(*rates, strict=True)]
        report.heading(f"Word error rate, {level(key)}")
        report.table(
            ["combination", *scales],
            [
                [", ".join(each.changes), *map(_cell, row, best)]
                for (each, _), row in zip(tables, rates, strict=True)
            ],
        )
    report.say(
        "A star marks the fewest word errors of a column; the gate's page says what is more than chance."
    )
    report.write(page)


def _cell(rate: float | None, best: float) -> str:
    return "–" if rate is None else f"{rate:.1%}{' ★' if rate == best else ''}"


def _carried_out(variation: tuple[str, ...], job: Plan, connection: Connection, wishes: Wishes) -> Variation:
    try:
        return Variation(variation, execute(job, connection, wishes, Patience()))
    except MomeError as error:
        return Variation(variation, error=one_line(error))


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.sweep", description="Train with every combination of values, and compare."
    )
    parser.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="NAME=A,B",
        help="train.top_k=2,4; with commas in a value ;",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="for all runs, as of pipelines.submit",
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    parser.add_argument("--profile", help="of mome/profiles; its sections stand in for those of params.yaml")
    parser.add_argument("--key", required=True, help="name of the sweep: the same finds its runs again")
    parser.add_argument("--parallel", type=int, default=2, help="runs at the same time; default: 2")
    parser.add_argument(
        "--poll", type=float, default=15.0, metavar="S", help="between two looks; default: 15"
    )
    parser.add_argument(
        "--page", type=Path, default=Path("reports/sweep.html"), help="default: reports/sweep.html"
    )
    add_options(parser)
    given = parser.parse_args()
    changes = list(given.set)
    if not any(change.startswith("registry=") for change in changes):
        # What passes is promoted: not where production reads.
        changes.append(f"registry={steps.cluster.parameters['registry']}-sweeps")
    found = combinations(given.vary)
    # All are checked before the first one starts.
    jobs = [
        plan(
            "training",
            params=given.params,
            profile=given.profile,
            changes=[*changes, *varied],
            pointer=None,
            trigger=None,
            version=None,
            tag=None,
        )
        for varied in found
    ]
    connection = Connection.find(given.host, given.namespace, given.token_file, given.ca_cert)
    wishes = [
        Wishes(
            experiment=f"sweep-{given.key}",
            key=f"{given.key}-{number}",
            wait=True,
            upload_only=False,
            in_turn=False,
            every_s=given.poll,
            at_most_s=7 * DAY_S,
            end_on=frozenset(),
        )
        for number, _ in enumerate(found, start=1)
    ]
    with ThreadPoolExecutor(max_workers=given.parallel) as pool:
        done = list(pool.map(_carried_out, found, jobs, itertools.repeat(connection), wishes))
    describe(given.key, done, given.page)
    for each in done:
        verdict = each.error if each.submission is None else each.submission.outcome.verdict
        print(f"{', '.join(each.changes)}: {verdict}")
    print(given.page)
    if broken := [each for each in done if each.evaluation is None]:
        raise MomeError(
            f"{len(broken)} of {len(done)} combinations came to no word errors; {given.page} says why"
        )


if __name__ == "__main__":
    raise SystemExit(main(_command))
