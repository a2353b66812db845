"""Parts of recordings, and how they sound one behind the other."""

# Shape letters: N samples.

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mome.scales import VIDEO_FRAMES_PER_SECOND
from mome.speech.audio import SAMPLING_RATE, Samples

__all__ = ["Piece", "join_sound"]

_FRAME = SAMPLING_RATE // VIDEO_FRAMES_PER_SECOND  # samples
_FADE = 80  # samples before and after a joint, in which one recording goes over into the other: 10 ms


class Piece(NamedTuple):
    """A part of a recording, cut between video frames.

    Args:
        recording: Its index in its split.
        first: Its first video frame, of 40 ms.
        end: The frame behind its last; None for the end of the recording.
    """

    recording: int
    first: int
    end: int | None


def join_sound(waveforms: Sequence[Samples], pieces: Sequence[Piece]) -> Samples:
    """Return the sound of pieces at 16 kHz ``(N,)``; 10 ms around a joint go over from one into the other."""
    parts = []
    for each in pieces:
        end = None if each.end is None else each.end * _FRAME
        parts.append(waveforms[each.recording][each.first * _FRAME : end].copy())
    for (before, after), (left_N, right_N) in zip(pairwise(pieces), pairwise(parts), strict=True):
        assert before.end is not None  # only the last piece goes on to its end
        end, begin = before.end * _FRAME, after.first * _FRAME
        earlier, later = waveforms[before.recording], waveforms[after.recording]
        fade = min(_FADE, len(earlier) - end, begin, len(left_N), len(right_N))
        if fade <= 0:
            continue
        weight = ((np.arange(2 * fade) + 0.5) / (2 * fade)).astype(np.float32)
        mixed = (1 - weight) * earlier[end - fade : end + fade] + weight * later[begin - fade : begin + fade]
        left_N[-fade:], right_N[:fade] = mixed[:fade], mixed[fade:]
    return np.concatenate(parts)
