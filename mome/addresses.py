"""Addresses as they may be shown: what a log, a page or a message holds, others read."""

from __future__ import annotations

import re

__all__ = ["public", "split_revision"]


def public(text: str) -> str:
    """Return a text without the user and password that an address in it may hold."""
    return re.sub(r"://[^/@\s]*@", "://", text)


def split_revision(address: str) -> list[tuple[str, str | None]]:
    """Return what ``repository@revision`` can mean, most likely first; a revision may hold slashes.

    What stands before a host is no repository, and ``.git`` ends one: after it there is nothing but a
    revision, and nothing that ends so is one.
    """
    # The user of git@host:path or https://user:password@host/path.
    start = match.end() if (match := re.match(r"[\w+.-]+://[^/]*|[^@/:]+@[^/:]+:", address)) else 0
    places = [start + found.start() for found in re.finditer("@", address[start:])]
    split = [(address[:place], address[place + 1 :]) for place in places if place > 0]
    named: list[tuple[str, str | None]] = [
        (repository, revision)
        for repository, revision in split
        if re.fullmatch(r"[\w./+#=-]+", revision) and not revision.endswith(".git")
    ]
    named.sort(key=lambda pair: not pair[0].endswith(".git"))  # stable: else the shortest repository
    whole: tuple[str, str | None] = (address, None)
    return [*named, whole]
