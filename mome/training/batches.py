"""Which utterances a step reads, and which of them each process takes.

Every epoch is a permutation of the split, and an epoch begins in the step in which the last one ends: no
step is short, and in any epoch each utterance is read exactly once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

__all__ = ["batches", "deal"]

_EPOCHS = 2  # tells these draws from all others of the same seed and number


def batches(num_frames: Sequence[int], utterances: int, frames: int, seed: int) -> Iterator[list[int]]:
    """Yield the utterances of step 0, 1, 2 and so on, without end.

    Args:
        num_frames: Length of every utterance, in video frames of 40 ms.
        utterances: How many a step reads.
        frames: If positive, a step reads instead until the next utterance would exceed so many frames, at
            least one (frames per batch, as Llama-AVSR counts them: model facts 6); the next step begins
            with that one, so that long utterances are read as often as short ones.
        seed: The permutation of an epoch follows from it and from the epoch's number.
    """
    batch: list[int] = []
    held = 0
    for epoch in itertools.count():
        rng = np.random.default_rng([seed, epoch, _EPOCHS])
        for index in rng.permutation(len(num_frames)).tolist():
            length = int(num_frames[index])
            full = held + length > frames if frames > 0 else len(batch) == utterances
            if batch and full:
                yield batch
                batch, held = [], 0
            batch.append(index)
            held += length


def deal(lengths: Sequence[int], hands: int) -> list[list[int]]:
    """Return who takes which of some things, by place in ascending order, so that sums are about even.

    The longest goes first, and each to whom has least so far: all wait in a step for the last one.

    Args:
        lengths: Of the things.
        hands: Among how many they are dealt; where there are as many things, nobody gets none.
    """
    dealt: list[list[int]] = [[] for _ in range(hands)]
    sums = [0] * hands
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        least = sums.index(min(sums))
        dealt[least].append(place)
        sums[least] += lengths[place]
    return [sorted(places) for places in dealt]
