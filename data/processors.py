"""How many processors this process may use: a container's share of them, not all of its machine."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["available_processors"]

_CGROUP = Path("/sys/fs/cgroup")  # what a container sees of its own limits (cgroup version 2)


def available_processors(cgroup: Path = _CGROUP) -> int:
    """Return the number of processors, at least 1.

    Args:
        cgroup: Folder with the limits of this container.
    """
    count = len(os.sched_getaffinity(0))
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):  # no container, or a system that says it elsewhere
        return count
    # os.cpu_count() knows no limit: a pod with four of 64 processors would start 64 processes.
    return count if quota == "max" else max(1, min(count, int(quota) // int(period)))
