"""Deterministic splits for corpora that come without: by rank of a hash, whatever the order of the files."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

from mome.records import Split

__all__ = ["hold_out", "split_items", "stable_rank"]

_SHARE = 10  # one in ten for validation and one in ten for test
_HELD_OUT = 1200  # clips for validation of a corpus that has a test split alone


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


def hold_out(speakers: Iterable[str]) -> set[str]:
    """Return the speakers of train that go to validation: about 1,200 clips, or a tenth of a smaller corpus.

    Args:
        speakers: Of each clip of train.
    """
    clips_of = Counter(speakers)
    wanted = min(_HELD_OUT, clips_of.total() // _SHARE)
    held_out: set[str] = set()
    # The last one stays: without train there is nothing to validate.
    for speaker in sorted(clips_of, key=stable_rank)[:-1]:
        held_out.add(speaker)
        if sum(clips_of[name] for name in held_out) >= wanted:
            break
    return held_out
