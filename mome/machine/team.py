"""Python called in the very threads that torch computes with.

After a product that torch shares out, its threads go on turning for some milliseconds, each on a core, and
any other thread would have to share those cores with them. GNU's OpenMP, which torch's builds for Linux
carry, gives them other work at once.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

__all__ = ["in_team"]

_Region = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def in_team(work: Callable[[int], object], count: int) -> None:
    """Call ``work(0)`` to ``work(count - 1)``, at the same time where there are threads for it.

    It pays for what lets go of Python's lock. Where torch has another OpenMP, threads of our own do it.

    Args:
        work: What is to be done; in a thread other than this one, gradients are on and inference mode is off.
        count: How often.
    """
    if count == 1:
        work(0)
    elif (openmp := _openmp()) is not None:
        _in_region(openmp, work, count)
    else:
        # Asked for what each returns, so that an error is raised.
        list(_pool(os.getpid(), count).map(work, range(count)))


def _in_region(openmp: ctypes.CDLL, work: Callable[[int], object], count: int) -> None:
    errors: list[BaseException] = []

    def share(_: object) -> None:
        first, step = openmp.omp_get_thread_num(), openmp.omp_get_num_threads()
        try:
            for number in range(first, count, step):
                work(number)
        except BaseException as error:  # noqa: BLE001 - raised below; C would print it and go on
            errors.append(error)

    # As many threads as torch has, for a team of another size would be ended and started anew each time.
    openmp.GOMP_parallel(_Region(share), None, torch.get_num_threads(), 0)
    if errors:
        raise errors[0]


@functools.cache
def _openmp() -> ctypes.CDLL | None:
    if not hasattr(os, "RTLD_NOLOAD"):
        return None
    try:
        # What is loaded already, by torch: a second library would have threads of its own.
        library = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD)
        library.GOMP_parallel.argtypes = [_Region, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        library.GOMP_parallel.restype = None
    except (OSError, AttributeError):
        return None
    return library


@functools.lru_cache(maxsize=4)
def _pool(_process: int, count: int) -> ThreadPoolExecutor:
    # By process: threads do not survive a fork.
    return ThreadPoolExecutor(count, thread_name_prefix="team")
