"""Several models taught at the same time, each with a part of the cores.

A small model gains little from a second core: what it waits for at the end of every small product is nearly
half of a step. Two models with one core each take two thirds of the time that one after the other takes.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from mome.progress import progress

__all__ = ["Teaching", "teach_side_by_side"]

_AT_ONCE = 2

# Yields after every step, and returns how well it was learnt.
Teaching = Generator[None, None, float]


def teach_side_by_side(teachings: Mapping[str, Teaching], *, steps: int, threads: int) -> dict[str, float]:
    """Run them all; returns what each returns, under its name.

    Args:
        teachings: By name, the longest first. What each draws must not depend on the others.
        steps: Of all together, for the progress bar.
        threads: Of torch, for all together.
    """
    at_once = max(1, min(threads, len(teachings), _AT_ONCE))
    torch.set_num_threads(max(1, threads // at_once))
    done: queue.SimpleQueue[bool] = queue.SimpleQueue()
    stop = threading.Event()

    def run(teaching: Teaching) -> float:
        while not stop.is_set():
            try:
                next(teaching)
            except StopIteration as end:
                return float(end.value)
            done.put(True)
        raise _Stopped

    with ThreadPoolExecutor(at_once, thread_name_prefix="teach") as pool:
        futures = {name: pool.submit(run, teaching) for name, teaching in teachings.items()}
        for future in futures.values():
            future.add_done_callback(lambda _: done.put(False))
        try:
            for _ in progress(_steps(done, len(futures)), "teach the models", total=steps):
                if _failures(futures.values()):
                    break
        finally:
            stop.set()  # whatever ended this, the others end with their step
    torch.set_num_threads(threads)
    for failure in _failures(futures.values()):
        raise failure
    return {name: future.result() for name, future in futures.items()}


def _failures(futures: Iterable[Future[float]]) -> list[BaseException]:
    """Return why teachings ended; not those that only followed another one."""
    ended = [future.exception() for future in futures if future.done()]
    return [each for each in ended if each is not None and not isinstance(each, _Stopped)]


def _steps(done: queue.SimpleQueue[bool], teachings: int) -> Iterator[None]:
    """Yield once per step, until all teachings are over."""
    while teachings:
        if done.get():
            yield
        else:
            teachings -= 1


class _Stopped(Exception):
    """Another teaching failed, or the step was told to stop."""
