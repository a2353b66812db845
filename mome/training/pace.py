"""How fast a training went. It depends on the machine, so it never lies beside the weights.

A checkpoint is the same to the byte wherever it was made; the pace is kept in the work folder under a
sum of the checkpoint's history, so that whoever has the checkpoint finds it.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

from mome.storage import write_text

__all__ = ["Pace", "read_pace", "write_pace"]

_FRAME_S = 0.04  # of video, the unit in which clips are measured


class Pace:
    """Measures the steps of this process: what was resumed was measured by another one."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self._started = 0.0

    def begin(self) -> None:
        """Start the clock of a step."""
        self._started = time.perf_counter()

    def end(self, step: int, utterances: int, num_frames: int) -> None:
        """Stop the clock of a step.

        Args:
            step: Its number, from 1.
            utterances: That all processes saw in it.
            num_frames: Of those utterances, 40 ms each.
        """
        seconds = time.perf_counter() - self._started
        row = {"step": step, "seconds": seconds, "utterances": utterances, "speech_s": num_frames * _FRAME_S}
        self.rows.append(row)


def write_pace(pace: Pace, work: Path, checkpoint: Path) -> None:
    """Keep the pace that led to a checkpoint."""
    write_text(_file(work, checkpoint), json.dumps(pace.rows))


def read_pace(work: Path, checkpoint: Path) -> list[dict[str, float]]:
    """Return seconds, utterances and seconds of speech of the measured steps; empty if none was measured."""
    path = _file(work, checkpoint)
    rows: list[dict[str, float]] = json.loads(path.read_text()) if path.is_file() else []
    return rows


def _file(work: Path, checkpoint: Path) -> Path:
    digest = hashlib.sha256((checkpoint / "history.json").read_bytes()).hexdigest()[:16]
    return work / f"pace-{digest}.json"
