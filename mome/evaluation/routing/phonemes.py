"""What kind of phoneme is said in each encoder frame of a clip whose words have times.

A corpus knows its words and no phonemes. eSpeak NG says which phonemes a word has and how long each of
them is beside the others; stretched over the word's own time, that is where they lie, near enough for
tokens of a tenth of a second.
"""

# Shape letters: T frames.

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from mome.alignment.aligner import Span
from mome.synthesis.phonemes import SILENCE, phoneme_class
from mome.synthesis.speech import Voice, speak

__all__ = ["MANNERS", "frame_manners"]

# Manners of articulation; what is none of the others is a vowel.
_CONSONANTS = {
    "stop": "p b t d k g",
    "fricative": "f v T D s z S Z h tS dZ",  # and affricates, which end as one
    "nasal": "m n N",
    "approximant": "l r w j",
}
MANNERS = ("silence", "vowel", *_CONSONANTS)
_NUMBERS = {
    phoneme: MANNERS.index(manner) for manner, phonemes in _CONSONANTS.items() for phoneme in phonemes.split()
} | {SILENCE: MANNERS.index("silence")}
_VOICE = Voice("gmw/en-US", "f2")


def frame_manners(
    words: Sequence[str], spans: Sequence[Span], num_frames: int, frames_per_second: int
) -> NDArray[np.int64]:
    """Return the index into `MANNERS` of what is said in the middle of each frame ``(T,)``.

    Args:
        words: As they are written.
        spans: When each of them is said, in order.
        num_frames: ``T``.
        frames_per_second: Of the encoder.
    """
    middles_T = (np.arange(num_frames) + 0.5) / frames_per_second
    manners_T = np.full(num_frames, MANNERS.index("silence"))
    for word, span in zip(words, spans, strict=True):
        inside_T = (middles_T >= span.start_s) & (middles_T < span.end_s)
        ends, numbers = _shares(word)
        along = (middles_T[inside_T] - span.start_s) / max(span.end_s - span.start_s, 1e-9)
        manners_T[inside_T] = numbers[np.searchsorted(ends[:-1], along, side="right")]
    return manners_T


@cache
def _shares(word: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return where in the word each of its phonemes ends, from 0 to 1, and their manners."""
    spoken = [each for each in speak(word, _VOICE).phonemes if phoneme_class(each.symbol) != SILENCE]
    if not spoken:
        return np.ones(1), np.array([MANNERS.index("silence")])
    lengths = np.array([each.end_s - each.start_s for each in spoken])
    vowel = MANNERS.index("vowel")
    return lengths.cumsum() / lengths.sum(), np.array(
        [_NUMBERS.get(phoneme_class(each.symbol), vowel) for each in spoken]
    )
