"""Takes the place of ``mome.inference`` in a copy of a Bento: answers with what it was asked."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from pathlib import Path

from mome.scales import Scale
from mome.speech.media import Clip


class Transcriber:
    """Has the interface of the real one, and no model."""

    scales = (Scale(4, 2), Scale(16, 5))
    max_duration_s = 30.0

    @classmethod
    def load(
        cls,
        foundation: Path,
        checkpoint: Path,
        device: str = "cpu",
        threads: int | None = None,
        compile_decoding: bool = False,
    ) -> Transcriber:
        return cls()

    def transcribe(self, clips: Sequence[Clip], scale: Scale) -> list[str]:
        return [f"{clip.modality} at {scale}" for clip in clips]

    def stream(self, clip: Clip, scale: Scale) -> Generator[str, None, None]:
        """Take half a second per piece: a reader can tell whether they come one by one."""
        for piece in (clip.modality, " at", f" {scale}"):
            time.sleep(0.5)
            yield piece
