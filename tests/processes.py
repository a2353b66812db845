"""Processes that a test started, found by what they run."""

from contextlib import suppress

import psutil

__all__ = ["started"]


def started(command: str) -> list[psutil.Process]:
    """Return the processes below this one whose command line holds a word, the oldest first."""
    found = []
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile, though nobody may have asked how
            if command in " ".join(each.cmdline()):
                found.append(each)
    return sorted(found, key=lambda each: each.create_time())
