"""Words and their times for a text that has ended, on its way to whoever waits for it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mome.alignment import Aligner
from mome.model.avsr import Features
from mome.reading import Listener, Standing, Text, Token, Word

__all__ = ["Timed", "word_probabilities"]


class Timed:
    """Passes all on to a listener, the whole text with its words.

    Args:
        listener: Who waits.
        aligner: Of the model.
        features: That the text is read from.
    """

    def __init__(self, listener: Listener, aligner: Aligner, features: Features) -> None:
        self._listener = listener
        self._aligner = aligner
        self._features = features

    @property
    def gone(self) -> bool:
        """Whether nobody waits any more."""
        return self._listener.gone

    @property
    def live(self) -> bool:
        """Whether the text is wanted while it is written."""
        return self._listener.live

    def wrote(self, standing: Standing) -> None:
        """Pass on the text so far."""
        self._listener.wrote(standing)

    def ended(self, text: Text) -> None:
        """Pass on the whole text."""
        audio_TC, video_TC = (
            None if each is None else each.float().numpy(force=True)
            for each in (self._features.audio_TC, self._features.video_TC)
        )
        spans = self._aligner.spans(text.text, audio_TC, video_TC)
        sure = word_probabilities(text.tokens)
        words = (
            Word(word, *span, probability)
            for word, span, probability in zip(text.text.split(), spans, sure, strict=True)
        )
        self._listener.ended(text._replace(words=tuple(words)))


def word_probabilities(tokens: Sequence[Token]) -> list[float]:
    """Return of each word the mean probability of the tokens that are in it, as faster-whisper has it."""
    words: list[dict[int, float]] = []  # by the number of the token
    begins = True
    for number, token in enumerate(tokens):
        for character in token.text:
            if character == " ":
                begins = True
                continue
            if begins:
                words.append({})
            begins = False
            words[-1][number] = math.exp(token.logprob)
    return [sum(each.values()) / len(each) for each in words]
