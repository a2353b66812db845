"""Several models of a comparison at once, a process and its share of the threads for each.

A small model gains little from a second thread: two trainings of one thread each are done sooner than one
after the other with two.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass

from mome.compare.trial import Trials
from mome.config import TrainParams
from mome.progress import PROGRESS_VARIABLE, progress

__all__ = ["Workers", "hire"]


@dataclass(frozen=True)
class Workers:
    """Who trains and measures.

    Args:
        trials: Where it is kept; what is asked for is in it afterwards.
        pool: Of processes; None does one after the other in this one.
    """

    trials: Trials
    pool: ProcessPoolExecutor | None = None

    def train(self, jobs: Sequence[TrainParams], said: str) -> None:
        """Train what is not trained yet.

        Args:
            jobs: The models.
            said: In front of the progress.

        Raises:
            Exception: What the first training that failed raised; none is begun after it.
        """
        self._each([job for job in jobs if not self.trials.is_trained(job)], said, measured=False)

    def measure(self, jobs: Sequence[TrainParams], said: str) -> None:
        """Train and measure what is not measured yet; arguments and errors are those of `train`."""
        self._each([job for job in jobs if not self.trials.is_done(job)], said, measured=True)

    def _each(self, waiting: Sequence[TrainParams], said: str, measured: bool) -> None:
        if self.pool is None:
            for job in progress(waiting, said):
                _work(self.trials, job, measured)
            return
        begun: list[Future[None]] = [self.pool.submit(_in_worker, job, measured) for job in waiting]
        try:
            for done in progress(as_completed(begun), said, len(begun)):
                done.result()
        finally:
            for each in begun:
                each.cancel()


@contextmanager
def hire(trials: Trials, processes: int) -> Iterator[Workers]:
    """Yield workers, who leave at the end.

    Args:
        trials: Where everything is kept.
        processes: How many models are trained at once.
    """
    if processes == 1:
        yield Workers(trials)
        return
    # Fresh processes: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _begin, (trials,)) as pool:
        yield Workers(trials, pool)


# Of a worker: it reads the test clips, and encodes their lips, once for all its models.
_held: list[Trials] = []


def _begin(trials: Trials) -> None:
    os.environ[PROGRESS_VARIABLE] = os.devnull  # the bars of several models would overwrite one another
    _held.append(trials)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool whose process was killed would leave workers behind, who train on for nobody."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _in_worker(job: TrainParams, measured: bool) -> None:
    _work(_held[0], job, measured)


def _work(trials: Trials, job: TrainParams, measured: bool) -> None:
    if measured:
        trials.run(job)
    else:
        trials.train(job)
