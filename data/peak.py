"""The most memory that a process has had, as the kernel keeps it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["peak_mib"]


def peak_mib(pid: int | None = None) -> float:
    """Return the peak of a process that runs, of this one by default, in MiB; 0 if it has ended.

    Not what ``wait4`` and ``getrusage`` say: that begins with what the process had that started this one.
    """
    status = Path("/proc", "self" if pid is None else str(pid), "status").read_text()
    found = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0].split()[1]) / 2**10 if found else 0.0  # Linux counts it in KiB
