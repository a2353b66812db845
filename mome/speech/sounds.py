"""The sound of a split as a sequence: held in memory where that is little, else decoded when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from mome.errors import CorpusError
from mome.speech.audio import SAMPLING_RATE
from mome.speech.shards import SplitReader

__all__ = ["Sounds"]

Samples = NDArray[np.float32]

# An hour takes 0.23 GB in every process: four hours are no more than the small models beside them, while
# the 433 h of LRS3 would be 100 GB.
_HELD_H = 4.0


class Sounds(Sequence[Samples]):
    """Waveforms ``(N,)`` at 16 kHz of all utterances of a split, in manifest order.

    Whoever reads them cannot tell whether they are held.

    Args:
        reader: Of a split with sound; it stays open for as long as this is used.
        held_h: Up to so many hours of sound stay in memory once they are decoded.
    """

    def __init__(self, reader: SplitReader, held_h: float = _HELD_H) -> None:
        self._reader = reader
        self._held: dict[int, Samples] = {}
        self.num_samples = [reader.num_samples(index) for index in range(len(reader))]
        self.is_held = sum(self.num_samples) <= held_h * 3600 * SAMPLING_RATE

    def __len__(self) -> int:
        return len(self._reader)

    @overload
    def __getitem__(self, index: int) -> Samples: ...

    @overload
    def __getitem__(self, index: slice) -> list[Samples]: ...

    def __getitem__(self, index: int | slice) -> Samples | list[Samples]:
        places = range(len(self))[index]
        return self._at(places) if isinstance(places, int) else [self._at(place) for place in places]

    def _at(self, place: int) -> Samples:
        if place in self._held:
            return self._held[place]
        samples = self._reader.sound(place)
        if samples is None:
            name = self._reader.utterances[place].utterance_id
            raise CorpusError(f"utterance {name} has no sound, but others of the split have")
        if self.is_held:
            self._held[place] = samples
        return samples
