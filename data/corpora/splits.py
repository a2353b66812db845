"""Deterministic splits for corpora that come without: by rank of a hash, whatever the order of the files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from mome.records import Split

__all__ = ["split_items", "stable_rank"]

_SHARE = 10  # one in ten for validation and one in ten for test


def stable_rank(name: str) -> bytes:
    """Return a sort key that looks random and is the same on every machine."""
    return hashlib.sha256(name.encode()).digest()


def split_items(items: Iterable[str]) -> dict[str, Split]:
    """Assign every item a split: a tenth to test, a tenth to validation, the rest to train.

    At least one goes to each. Two items give train and test, one gives train: what is missing then is
    for validation to say.
    """
    ranked = sorted(set(items), key=stable_rank)
    held_out = max(1, len(ranked) // _SHARE)
    splits: dict[str, Split] = dict.fromkeys(ranked, "train")
    if len(ranked) >= 2:
        splits.update(dict.fromkeys(ranked[:held_out], "test"))
    if len(ranked) >= 3:
        splits.update(dict.fromkeys(ranked[held_out : 2 * held_out], "validation"))
    return splits
