"""Utterances joined of several recordings of one person at the ends of words, with their lips and texts.

A corpus of one's own has few texts, and they were often planned: in GRID every digit is followed by two of
four words, and which two depends on who speaks. An LLM learns that by heart and writes it whatever it hears.
Joined anew in every step there are as many texts as ways to join them, and what is heard decides. For sound
alone this is aligned data augmentation (Lam et al. 2021, arXiv 2104.01393).
"""

# Shape letters: T frames of 20 ms, W words.

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mome.scales import AUDIO_FRAMES_PER_SECOND, VIDEO_FRAMES_PER_SECOND
from mome.training.pieces import Piece
from mome.training.spoken import Spoken

__all__ = ["Splices"]

_PER_FRAME = AUDIO_FRAMES_PER_SECOND // VIDEO_FRAMES_PER_SECOND
_LATE = 1  # frames of 20 ms by which the times of words are late (mome.alignment.teaching)

Starts = NDArray[np.int64]


class Splices:
    """Draws what an utterance is joined of.

    Only recordings in which it is known when words are said take part. At word ``w`` of one recording another
    one goes on with its own word ``w``: what begins a sentence is not found in its middle.

    Args:
        spoken: When words are said.
        transcripts: Per utterance of the split.
        speakers: Likewise; nobody goes on with somebody else's voice.
        num_frames: Likewise, video frames.
        share: Of the words before which another recording goes on.
        bounds: Fewest and most video frames of a joined utterance.
    """

    def __init__(
        self,
        spoken: Spoken,
        transcripts: Sequence[str],
        speakers: Sequence[str],
        num_frames: Sequence[int],
        share: float,
        bounds: tuple[int, int],
    ) -> None:
        self._words = {index: transcripts[index].split() for index in spoken.indices}
        self._starts: dict[int, Starts] = {}
        for index, words_T in zip(spoken.indices, spoken.words, strict=True):
            starts_W = _starts(words_T)
            if (np.diff(starts_W) > 0).all():  # else some word is shorter than a frame
                self._starts[index] = starts_W
        self._num_frames, self._share, self._speakers = num_frames, share, speakers
        self._bounds = bounds
        self._partners: dict[str, list[int]] = {}
        for index in sorted(self._starts, key=self._num_words):
            self._partners.setdefault(speakers[index], []).append(index)

    def draw(self, index: int, rng: np.random.Generator) -> tuple[list[Piece], str] | None:
        """Return the pieces of an utterance that begins as ``index`` does, and its text.

        None stands for the recording as it is, also where the joined one would be too short or too long.
        """
        if index not in self._starts:
            return None
        partners = self._partners[self._speakers[index]]
        taken, first, word = index, 0, 1
        pieces: list[Piece] = []
        words = self._words[index][:1]
        while word < len(self._starts[taken]):
            if rng.random() < self._share:
                longer = bisect_right(partners, word, key=self._num_words)  # the first with such a word
                pieces.append(Piece(taken, first, int(self._starts[taken][word])))
                taken = partners[int(rng.integers(longer, len(partners)))]
                first = int(self._starts[taken][word])
            words.append(self._words[taken][word])
            word += 1
        pieces.append(Piece(taken, first, None))
        length = sum((self._num_frames[i] if end is None else end) - first for i, first, end in pieces)
        shortest, longest = self._bounds
        if len(pieces) == 1 or not shortest <= length <= longest:
            return None
        return pieces, " ".join(words)

    def _num_words(self, index: int) -> int:
        return len(self._starts[index])


def _starts(words_T: NDArray[np.int64]) -> Starts:
    """Return the video frame at which each word begins ``(W,)``: in the middle of a pause before it."""
    said_T = np.flatnonzero(words_T >= 0)
    _, places_W = np.unique(words_T[said_T], return_index=True)
    firsts_W = said_T[places_W]
    before_W = said_T[places_W - 1] + 1  # of the first word: unused
    starts_W = np.rint(((before_W + firsts_W) / 2 - _LATE) / _PER_FRAME).astype(np.int64)
    starts_W[0] = 0
    return starts_W
