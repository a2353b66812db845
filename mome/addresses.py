"""Addresses as they may be shown: what a log, a page or a message holds, others read."""

from __future__ import annotations

import re

__all__ = ["public"]


def public(text: str) -> str:
    """Return a text without the user and password that an address in it may hold."""
    return re.sub(r"://[^/@\s]*@", "://", text)
