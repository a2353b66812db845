"""Utterances: a long recording cut at its pauses into pieces that the model takes.

A piece is about as long as what the model was judged on, and never longer than its encoder takes. Speech
that noise covers is hard to hear for anybody: only a pause that is clearly one is left out.
"""

# Shape letters: C cells of 40 ms, in which a piece begins and ends.

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mome.scales import VIDEO_FRAMES_PER_SECOND
from mome.speech.activity import FRAME, VoiceActivity
from mome.speech.audio import SAMPLING_RATE
from mome.speech.media import Clip
from mome.speech.stretches import SAMPLES_PER_FRAME, Stretch

__all__ = ["Heard", "Piece", "Plan", "cut", "plan"]

_CELLS_PER_S = VIDEO_FRAMES_PER_SECOND

# Silero's own limits: speech begins above the first and ends below the second.
_BEGINS, _ENDS = 0.5, 0.35
# On LibriSpeech and GRID in four noises no second of speech is missed at 0 dB; at -5 dB up to 13 % of the
# seconds stay below 0.5 and 8 % below 0.1, which noise without speech reaches in few.
_CERTAIN = 0.1
_QUIETER = (
    2.0  # 3 dB quieter than speech: then the noise in a pause is weak enough for speech to be heard in it
)
_SHORTEST_PAUSE = 4  # cells, 0.16 s: shorter is a closed mouth within a word
_LONGEST_JOINED = 20  # cells, 0.8 s: behind a longer pause something else begins
_PADDING = 10  # cells, 0.4 s
_SHORTEST_REST = 25  # cells, 1 s: a pause that is shorter belongs to its neighbours
_UNDECIDED = 2 * _PADDING + _SHORTEST_REST  # cells: behind a longer pause begins another piece for certain
_LIPS_SHARE = 0.9
_DB_WEIGHT = 0.02  # 10 dB count as much as 0.2 of probability when the deepest moment is looked for

Samples = npt.NDArray[np.float32]
Mouth = npt.NDArray[np.uint8]
Cells = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


class Piece(NamedTuple):
    """One piece and where it begins, in seconds of the recording."""

    start_s: float
    clip: Clip


class Heard(NamedTuple):
    """The recording is cut up to ``until_s``; these are the new pieces, in order."""

    until_s: float
    pieces: list[Piece]


class Plan(NamedTuple):
    """What is known of a part of a recording, by cell.

    Args:
        speech: Whether somebody speaks ``(C,)``.
        doubtful: Whether somebody may speak ``(C,)``.
        power: Mean square of the sound ``(C,)``.
        depth: How much is lost by a cut ``(C,)``: where it is lowest is the deepest pause.
        speech_power: Of cells in which somebody speaks; 0 as long as nobody did.
    """

    speech: Flags
    doubtful: Flags
    power: Cells
    depth: Cells
    speech_power: float


def cut(stretches: Iterable[Stretch], longest_s: float, good_s: float) -> Iterator[Heard]:
    """Cut a recording while it is read; a piece is given as soon as nothing that follows can change it.

    Args:
        stretches: All of it, one after the other.
        longest_s: Longest piece, more than a second.
        good_s: Up to which length neighbours are joined.
    """
    longest = int(longest_s * _CELLS_PER_S)
    good = min(longest, max(_CELLS_PER_S, round(good_s * _CELLS_PER_S)))
    window = _Window(longest, good)
    for stretch in stretches:
        window.add(stretch)
        while window.is_full:
            yield window.take()
    window.end()
    yield window.take()


def plan(given: Plan, longest: int, good: int) -> list[tuple[int, int]]:
    """Return the first cell of each piece and the one behind its last, in order.

    What is in no piece is a pause in which certainly nobody speaks.
    """
    islands = _joined(_split(_runs(given.speech), given.depth, longest - 2 * _PADDING), good)
    pieces: list[tuple[int, int]] = []
    at = 0  # end of the last piece
    for start, end in [*islands, (len(given.speech), len(given.speech))]:
        is_last = start == end
        before, after = _shares(given, at, start, bool(pieces), not is_last)
        if pieces and before:
            first = pieces[-1][0]
            at = min(at + before, first + longest)
            pieces[-1] = (first, at)
        start = max(start - after, end - longest)
        if start - at >= _SHORTEST_PAUSE and _is_doubtful(given, at, start):
            pieces += _split([(at, start)], given.depth, good)
        if not is_last:
            pieces.append((start, end))
            at = end
    return pieces


def _shares(given: Plan, start: int, end: int, before: bool, after: bool) -> tuple[int, int]:
    """Return how many cells of a pause the pieces before and behind it get, where there are such."""
    pause = end - start
    padding = _PADDING * (before + after)
    inner = (start + _PADDING * before, end - _PADDING * after)
    # What is too short for a piece of its own goes to its neighbours.
    short = pause <= padding + _SHORTEST_REST and _is_doubtful(given, *inner)
    shared = pause if short else min(pause, padding)
    if before and after:
        return shared // 2, shared - shared // 2
    return (shared, 0) if before else (0, shared) if after else (0, 0)


def _is_doubtful(given: Plan, start: int, end: int) -> bool:
    """Tell whether somebody may speak in a pause: a voice is half heard, or noise could cover one."""
    if end <= start:
        return False
    if given.doubtful[start:end].any():
        return True
    return float(given.power[start:end].mean()) * _QUIETER >= given.speech_power


def _runs(flags: Flags) -> list[tuple[int, int]]:
    """Return where speech begins and ends; what is interrupted for less than a pause is one."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False]))))
    runs: list[tuple[int, int]] = []
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if runs and start - runs[-1][1] < _SHORTEST_PAUSE:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    return runs


def _split(runs: list[tuple[int, int]], depth: Cells, longest: int) -> list[tuple[int, int]]:
    """Cut what is too long at its deepest moments."""
    parts: list[tuple[int, int]] = []
    left = runs[::-1]
    while left:
        start, end = left.pop()
        if end - start <= longest:
            parts.append((start, end))
            continue
        # Nowhere near an end: a piece of a word or two is hard to read.
        first, last = start + longest // 3, min(start + longest, end - longest // 3)
        at = first + int(np.argmin(depth[first : last + 1]))
        left += [(at, end), (start, at)]
    return parts


def _joined(islands: list[tuple[int, int]], good: int) -> list[tuple[int, int]]:
    """Join neighbours over the shortest pause first, as long as both together are short enough."""
    islands = list(islands)
    while True:
        pauses = [
            (after[0] - before[1], index)
            for index, (before, after) in enumerate(pairwise(islands))
            if after[0] - before[1] <= _LONGEST_JOINED and after[1] - before[0] <= good
        ]
        if not pauses:
            return islands
        _, index = min(pauses)
        islands[index : index + 2] = [(islands[index][0], islands[index + 1][1])]


class _Window:
    """What was read and is not given away yet."""

    def __init__(self, longest: int, good: int) -> None:
        self._longest, self._good = longest, good
        self._start = 0  # cell of the recording at which it begins
        self._ended = False
        self._sound: Samples | None = None
        self._mouth: Mouth | None = None
        self._found: Flags = np.zeros(0, np.bool_)
        self._activity = VoiceActivity()
        self._probabilities: list[Cells] = []  # of each 32 ms of the recording: an hour is half a megabyte
        self._speech_power = 0.0
        self._speech_cells = 0

    def add(self, stretch: Stretch) -> None:
        """Take what comes next."""
        if stretch.samples is not None:
            self._probabilities.append(self._activity.hear(stretch.samples))
            self._sound = _behind(self._sound, stretch.samples)
        frames = stretch.mouth
        if frames is None and self._mouth is not None:  # the picture has ended
            assert stretch.samples is not None
            count = -(-len(stretch.samples) // SAMPLES_PER_FRAME)
            frames = np.zeros((count, *self._mouth.shape[1:]), np.uint8)
        if frames is not None:
            self._mouth = _behind(self._mouth, frames)
            self._found = np.concatenate((self._found, np.full(len(frames), stretch.found)))

    def end(self) -> None:
        """Say that nothing comes any more."""
        self._ended = True
        self._probabilities.append(self._activity.end())

    @property
    def is_full(self) -> bool:
        """Whether there are pieces that nothing can change any more."""
        return self._cells() >= 3 * self._longest

    def take(self) -> Heard:
        """Return them; all that is left, when it has ended."""
        given = self._given()
        pieces = plan(given, self._longest, self._good)
        count = len(given.speech)
        if not self._ended:
            if pieces and count - pieces[-1][1] <= _UNDECIDED:  # what comes next may belong to it
                count = pieces.pop()[0]
            else:
                count -= _PADDING
        found = [self._piece(start, end) for start, end in pieces]
        until_s = (self._start + count) / _CELLS_PER_S
        if self._ended and self._sound is not None:  # the last cell may be a part of one
            until_s = self._start / _CELLS_PER_S + len(self._sound) / SAMPLING_RATE
        speech = given.speech[:count]
        self._speech_power += float(given.power[:count][speech].sum())
        self._speech_cells += int(speech.sum())
        self._start += count
        if self._sound is not None:
            self._sound = self._sound[count * SAMPLES_PER_FRAME :].copy()
        if self._mouth is not None:
            self._mouth, self._found = self._mouth[count:].copy(), self._found[count:]
        return Heard(until_s, found)

    def _cells(self) -> int:
        if self._sound is None:
            return len(self._found)
        if self._ended:
            return -(-len(self._sound) // SAMPLES_PER_FRAME)
        heard = sum(map(len, self._probabilities)) * FRAME // SAMPLES_PER_FRAME - self._start
        return min(heard, len(self._sound) // SAMPLES_PER_FRAME)

    def _given(self) -> Plan:
        count = self._cells()
        if self._sound is None:
            nothing = np.zeros(count, np.float32)
            return Plan(self._found, self._found, nothing, self._motion(), 1.0)
        padded = np.pad(self._sound, (0, max(0, count * SAMPLES_PER_FRAME - len(self._sound))))
        power = np.square(padded[: count * SAMPLES_PER_FRAME].reshape(count, -1)).mean(axis=1)
        likely = self._likely(count)
        speech = _with_hysteresis(likely)
        seen = np.zeros(count, np.bool_)
        seen[: len(self._found)] = self._found[:count]
        level_db = 10.0 * np.log10(power + 1e-10)
        depth = np.convolve(likely + _DB_WEIGHT * level_db, np.full(3, 1 / 3), mode="same")
        cells = self._speech_cells + int(speech.sum())
        speech_power = (self._speech_power + float(power[speech].sum())) / max(1, cells)
        return Plan(speech, seen | (likely >= _CERTAIN), power, np.asarray(depth, np.float32), speech_power)

    def _likely(self, count: int) -> Cells:
        """Return how likely somebody speaks in each cell: the larger of the two frames that it lies in."""
        probabilities = np.concatenate([*self._probabilities, np.zeros(2, np.float32)])
        self._probabilities = [probabilities[:-2]]
        frames = np.arange(self._start, self._start + count) * SAMPLES_PER_FRAME // FRAME
        return np.maximum(probabilities[frames], probabilities[frames + 1])

    def _motion(self) -> Cells:
        """Return how much the lips move; they stand still between sentences."""
        assert self._mouth is not None
        small = self._mouth[:, ::4, ::4].astype(np.float32)
        moved = np.abs(np.diff(small, axis=0, prepend=small[:1])).mean(axis=(1, 2))
        return np.asarray(np.convolve(moved, np.full(5, 1 / 5), mode="same"), np.float32)

    def _piece(self, start: int, end: int) -> Piece:
        samples = mouth = None
        if self._sound is not None:
            samples = self._sound[start * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME].copy()
        # Lips that are there for a part of it would be read as closed in the other.
        if self._mouth is not None and self._found[start:end].mean() >= _LIPS_SHARE:
            mouth = self._mouth[start:end].copy()
        return Piece((self._start + start) / _CELLS_PER_S, Clip(samples, mouth))


def _with_hysteresis(likely: Cells) -> Flags:
    speech = np.zeros(len(likely), np.bool_)
    speaking = False
    for cell, probability in enumerate(likely):
        speaking = probability >= (_ENDS if speaking else _BEGINS)
        speech[cell] = speaking
    return speech


def _behind(held: Any, more: Any) -> Any:
    return more if held is None else np.concatenate((held, more))
