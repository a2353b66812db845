"""Turns: when somebody begins to speak, pauses and has ended, from the probability of speech in each frame.

As Silero's own iterator: speech begins above the threshold, and ends below a lower one.
"""

from __future__ import annotations

from enum import Enum, auto

from mome.speech.activity import FRAME
from mome.speech.audio import SAMPLING_RATE
from serving.realtime.session import ServerVad

__all__ = ["Turn", "Turns"]

_LOWER = 0.15  # how far below the threshold a frame has to be to begin a silence
_LEAST_FRAMES = 2  # of speech: a click has one
_PAUSE_FRAMES = 2  # of silence, 64 ms, after which the utterance may have ended: it is read ahead of that


class Turn(Enum):
    """What a frame changed."""

    STARTED = auto()
    PAUSED = auto()
    RESUMED = auto()
    STOPPED = auto()


class Turns:
    """Follow one stream.

    Args:
        vad: Its settings.
        at: Sample at which the first frame begins.
    """

    def __init__(self, vad: ServerVad, at: int) -> None:
        self._threshold = vad.threshold
        self._silence_frames = max(
            _PAUSE_FRAMES, round(vad.silence_duration_ms * SAMPLING_RATE / 1000 / FRAME)
        )
        self._at = at  # sample after the last frame
        self._loud = 0  # frames of speech in a row, before a turn
        self._quiet = 0  # frames since a silence began, in a turn
        self.speaking = False
        self.started_at = at  # sample at which the turn's speech began
        self.quiet_at = at  # sample at which its last speech ended

    @property
    def hushed(self) -> bool:
        """Whether a silence has begun."""
        return self._quiet > 0

    def step(self, probability: float) -> Turn | None:
        """Take the probability of speech in the next frame; say what changed with it."""
        self._at += FRAME
        is_loud = probability >= self._threshold
        if not self.speaking:
            self._loud = self._loud + 1 if is_loud else 0
            if self._loud < _LEAST_FRAMES:
                return None
            self.speaking, self._quiet = True, 0
            self.started_at = self._at - self._loud * FRAME
            self.quiet_at = self._at
            return Turn.STARTED
        if is_loud:
            was_pause = self._quiet >= _PAUSE_FRAMES
            self._quiet, self.quiet_at = 0, self._at
            return Turn.RESUMED if was_pause else None
        if self._quiet or probability < self._threshold - _LOWER:
            if not self._quiet:
                self.quiet_at = self._at - FRAME
            self._quiet += 1
        else:
            self.quiet_at = self._at
        if self._quiet >= self._silence_frames:
            self.end()
            return Turn.STOPPED
        return Turn.PAUSED if self._quiet == _PAUSE_FRAMES else None

    def end(self) -> None:
        """Say that the turn has ended, whoever says so."""
        self.speaking, self._loud, self._quiet = False, 0, 0

    def go_on(self, at: int) -> None:
        """Say that somebody still speaks, in a turn that begins at a sample."""
        self.speaking, self.started_at = True, at
