"""SIGKILL at random moments: no process of the loop is told that it ends."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from pipelines.loop.controllers import Controllers
from pipelines.loop.witness import Witness
from serving.benchmark.server import Server

__all__ = ["Kills", "killing"]

_AT_A_SWITCH = 0.5  # of the kills of a monitor
_AT_A_SWITCH_S = 20.0  # for which one is waited
_LOOK_S = 0.1
_DIES_S = 1.0  # until the kernel has closed what a killed process had open


@dataclass
class Kills:
    """Who was killed when, on `time.monotonic`.

    Args:
        workers: Of the service.
        monitors: Whichever it was.
        at_switches: Of these, how many in the moment in which a switch had been put on record.
    """

    workers: list[float] = field(default_factory=list)
    monitors: list[float] = field(default_factory=list)
    at_switches: int = 0

    def explains(self, began: float, ended: float) -> bool:
        """Whether a worker was killed while a request was under way."""
        return any(began - _DIES_S <= moment <= ended for moment in self.workers)


@contextmanager
def killing(
    server: Server, controllers: Controllers, witness: Witness, *, seed: int, every_s: float
) -> Iterator[Kills]:
    """Kill workers and monitors while the block lasts; what ends is started again.

    The next worker is killed when somebody was answered since the last one, and the next monitor when one is
    at work. Half of the monitors are killed just after a switch is on record, and before it is served if that
    can be: random moments would find this one once in hours.

    Args:
        server: Its supervisor starts its workers again.
        controllers: Started again at once.
        witness: Says when a switch is on record, and who is at work.
        seed: Of the moments.
        every_s: Mean time until the next worker is killed, and until the next monitor is.
    """
    kills, stop = Kills(), threading.Event()

    def kill(pid: int, into: list[float]) -> bool:
        moment = time.monotonic()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            into.append(moment)
            return True
        return False

    def wait_until(met: Callable[[], object]) -> bool:
        """Return False if it ends before."""
        while not met():
            if stop.wait(_LOOK_S):
                return False
        return True

    def has_answered(before: int) -> bool:
        return len(witness.seen.requests) > before

    def kill_workers() -> None:
        rng, answered = random.Random(seed), 0
        # Where a start takes longer than is waited for, nobody would ever be answered.
        while not stop.wait(rng.expovariate(1 / every_s)) and wait_until(partial(has_answered, answered)):
            answered = len(witness.seen.requests)
            if workers := server.workers():
                kill(rng.choice(workers).pid, kills.workers)

    def kill_monitors() -> None:
        rng = random.Random(seed + 1)
        while not stop.wait(rng.expovariate(1 / every_s)) and wait_until(witness.holders):
            if rng.random() < _AT_A_SWITCH:
                kill_at_switch()
            elif pids := controllers.pids:
                kill(rng.choice(pids), kills.monitors)
            stop.wait(_DIES_S)
            controllers.replace()

    def kill_at_switch() -> None:
        done = threading.Event()

        def act() -> None:
            kills.at_switches += sum(kill(pid, kills.monitors) for pid in witness.holders())
            done.set()

        witness.at_next_switch(act)
        deadline = time.monotonic() + _AT_A_SWITCH_S
        while not done.wait(_LOOK_S) and not stop.is_set() and time.monotonic() < deadline:
            pass
        witness.at_next_switch(None)

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(run) for run in (kill_workers, kill_monitors)]
        try:
            yield kills
        finally:
            stop.set()
        for each in running:
            each.result()
