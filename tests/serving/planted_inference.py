"""Takes the place of ``mome.inference`` in a copy of a Bento: answers with what it was asked."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from mome.reading import Listener, Reading, Standing, Text
from mome.records import Decoding
from mome.scales import Scale

PAUSE_S = float(os.environ.get("PLANTED_PAUSE_S", "0"))
FINEST_PAUSE_S = float(os.environ.get("PLANTED_FINEST_PAUSE_S", PAUSE_S))  # where one is read at that scale


class Transcriber:
    """Has the interface of the real one, and no model."""

    scales = (Scale(4, 2), Scale(16, 5))
    max_duration_s = 30.0
    decoding = Decoding(num_beams=1, max_new_tokens="by_duration")

    @classmethod
    def load(
        cls,
        foundation: Path,
        checkpoint: Path,
        decoding: Decoding,
        device: str = "cpu",
        threads: int | None = None,
        compile_decoding: bool = False,
    ) -> Transcriber:
        return cls()

    def times(self, modality: str) -> bool:
        return False

    def read(self, readings: Sequence[Reading], listeners: Sequence[Listener]) -> None:
        """Take half a second per word if somebody reads along: so they see whether words come one by one."""
        own_s = FINEST_PAUSE_S if any(reading.scale == self.scales[0] for reading in readings) else PAUSE_S
        pause_s = 0.5 if any(listener.live for listener in listeners) else own_s
        for count in (1, 2, 3):
            time.sleep(pause_s)
            for (clip, scale, _), listener in zip(readings, listeners, strict=True):
                words = [clip.modality, "at", str(scale)][:count]
                if listener.gone:
                    continue
                if count == 3:
                    listener.ended(Text(" ".join(words), cut=False))
                elif listener.live:
                    listener.wrote(Standing(" ".join(words)))
