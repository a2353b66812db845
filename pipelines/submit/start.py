"""Start the run of a submission: once for its key, anew after a failure, and where asked in its turn.

The name of a run holds the key. A run that broke is not the end of that: whoever asks again with the same key
wants another try, which is called `<name> 2` and so on. A yes, a no and a run that goes on are kept.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from pipelines.calls import one_line
from pipelines.submit.publish import Publisher, seniority
from pipelines.submit.watch import RunTimeout

__all__ = ["Order", "newest", "start"]

BROKEN = ("FAILED", "CANCELED", "CANCELING")


@dataclass(frozen=True)
class Order:
    """The run that is wanted.

    Args:
        name: Its own; further tries have a number behind it.
        experiment_id: Where it belongs.
        pipeline: Ids of the pipeline and of its version.
        arguments: Of the run.
        more: ``service_account`` and what else a run takes.
    """

    name: str
    experiment_id: str
    pipeline: tuple[str, str]
    arguments: Mapping[str, Any]
    more: Mapping[str, Any]

    def names(self) -> Iterator[str]:
        """Return the names of the first try, the second and so on."""
        return (self.name if number == 1 else f"{self.name} {number}" for number in count(1))


def start(
    publisher: Publisher,
    order: Order,
    is_no: Callable[[Any], bool],
    *,
    in_turn: bool,
    every_s: float,
    until: float,
) -> Any:
    """Return the run of an order, started if there is none that counts.

    Args:
        publisher: What creates things.
        order: The run that is wanted.
        is_no: Tells whether a run that broke did so because the gate said no, which is an answer.
        in_turn: Wait until no other run of the experiment is at work.
        every_s: Seconds between two looks.
        until: Moment of `time.monotonic` at which the wait is over.

    Raises:
        RunTimeout: If its turn has not come by then; nothing was started.
    """
    for name in order.names():
        found = publisher.find_run(name, order.experiment_id)
        if found is not None:
            if str(found.state or "").upper() not in BROKEN or is_no(found):
                return found
            _say(f"run {found.run_id} ended as {found.state}: another try")
            continue
        if in_turn:
            _wait(publisher, order.experiment_id, every_s, until)
        run = publisher.run(
            name, order.experiment_id, order.pipeline, dict(order.arguments), **dict(order.more)
        )
        # Two that waited for the same run may both have seen it end. The younger steps back.
        elder = publisher.unfinished(order.experiment_id)[:1] if in_turn else []
        if not elder or seniority(elder[0]) >= seniority(run):
            return run
        _say(f"run {run.run_id} steps back: run {elder[0].run_id} was a moment earlier")
        publisher.terminate(run.run_id)
    raise AssertionError("there are names for ever")


def newest(publisher: Publisher, order: Order) -> Any | None:
    """Return the run of the last try, or None if nothing was started."""
    last = None
    for name in order.names():
        found = publisher.find_run(name, order.experiment_id)
        if found is None:
            return last
        last = found
    raise AssertionError("there are names for ever")


def _wait(publisher: Publisher, experiment_id: str, every_s: float, until: float) -> None:
    said = ""
    while others := publisher.unfinished(experiment_id):
        first = others[0]
        if first.run_id != said:
            _say(f"waiting for run {first.run_id}, {first.display_name}")
            said = first.run_id
        left = until - time.monotonic()
        if left <= 0:
            raise RunTimeout(None, f"its turn has not come: run {first.run_id} has not ended")
        time.sleep(min(every_s, left))


def _say(line: str) -> None:
    print(one_line(line), file=sys.stderr, flush=True)
