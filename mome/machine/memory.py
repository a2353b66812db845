"""Says that memory will not do, or is nearly used up: at its limit a step is killed without a word.

What a container may take and has taken stands in its control group, in files of either version of Linux.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mome.errors import ConfigError

__all__ = ["NEARLY_USED_UP", "available_bytes", "check_memory", "memory_watched"]

NEARLY_USED_UP = "memory is nearly used up"

_GROUP = Path("/sys/fs/cgroup")
_EVERY_S = 0.1  # a model that is loaded takes gigabytes a second
_FROM = 95  # per cent of the limit
_GIB = 2**30
_NO_LIMIT = 2**60  # version 1 writes a number of this size where there is none


class _Group(NamedTuple):
    """Files of a control group: bytes taken, bytes allowed, and what is taken for what."""

    taken: Path
    limit: Path
    stat: Path
    cache: tuple[str, ...]  # entries of ``stat`` that the kernel takes back where memory is short
    shared: str  # entry that the first of them holds too, and that it cannot take back


@contextmanager
def memory_watched(step: str, instead: str = "", group: Path = _GROUP) -> Iterator[None]:
    """Watch the memory of this container for as long as the block lasts, if it has a limit.

    From 95 % of the limit on it says so, and again with each further per cent: what is said just before the
    end is then the last line of the log.

    Args:
        step: As ``pipelines/cluster.yaml`` names it.
        instead: What else would help, such as "lower train.batch_size (now 48)".
        group: Folder of the control group.
    """
    found = _find(group)
    if found is None:
        yield
        return
    files, limit = found
    done = threading.Event()
    thread = threading.Thread(target=_watch, args=(files, limit, step, instead, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def check_memory(needed: int, what: str, instead: str, group: Path = _GROUP) -> None:
    """Say before the work begins that it will not fit, instead of being killed in the middle of it.

    Args:
        needed: Bytes that it takes at its highest.
        what: It is, for the message.
        instead: What would need less.
        group: As `memory_watched`.

    Raises:
        ConfigError: If fewer bytes are there.
    """
    there = available_bytes(group)
    if there < needed:
        raise ConfigError(
            f"{what} needs about {needed / _GIB:.1f} GiB of memory, but {there / _GIB:.1f} GiB are free "
            f"here: close other programs, or {instead}"
        )


def available_bytes(group: Path = _GROUP) -> int:
    """Return how much memory this process can still get, from the machine and from its container.

    Args:
        group: As `memory_watched`.
    """
    import psutil  # only here: what submits a run reads a word of this file, and installs less

    there: int = psutil.virtual_memory().available
    if (found := _find(group)) is not None:
        files, limit = found
        taken = int(files.taken.read_text()) - _cached(files)
        there = min(there, max(0, limit - taken))
    return there


def _find(group: Path) -> tuple[_Group, int] | None:
    first = group / "memory"
    for files in (
        _Group(
            group / "memory.current",
            group / "memory.max",
            group / "memory.stat",
            ("file", "slab_reclaimable"),
            "shmem",
        ),
        _Group(
            first / "memory.usage_in_bytes",
            first / "memory.limit_in_bytes",
            first / "memory.stat",
            ("total_cache",),
            "total_shmem",
        ),
    ):
        try:
            limit = int(files.limit.read_text())
        except (OSError, ValueError):  # another version, or "max"
            continue
        if limit < _NO_LIMIT:
            return files, limit
    return None


def _watch(files: _Group, limit: int, step: str, instead: str, done: threading.Event) -> None:
    told = _FROM - 1
    while not done.wait(_EVERY_S):
        try:
            taken = _taken(files, limit)
        except (OSError, ValueError):
            continue
        if (percent := 100 * taken // limit) > told:
            told = percent
            advice = f"raise memory.limit of step {step}" + (f", or {instead}" if instead else "")
            print(
                f"{NEARLY_USED_UP} ({taken / _GIB:.1f} of {limit / _GIB:.4g} GiB): {advice}",
                file=sys.stderr,
                flush=True,
            )


def _taken(files: _Group, limit: int) -> int:
    """Return the bytes that cannot be taken back: a copy of a file that was read counts for nothing."""
    taken = int(files.taken.read_text())
    # The kernel adds the entries up only when they are asked for.
    return taken if 100 * taken < _FROM * limit else taken - _cached(files)


def _cached(files: _Group) -> int:
    """Return the bytes that are copies of files: the kernel takes them back where memory is short."""
    entries = dict(line.split() for line in files.stat.read_text().splitlines())
    cache = sum(int(entries.get(name, 0)) for name in files.cache) - int(entries.get(files.shared, 0))
    return max(0, cache)
