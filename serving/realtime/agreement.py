"""Words that may be shown while somebody still speaks: those that two readings in a row agree on.

LocalAgreement: Macháček, Dabre and Bojar, "Turning Whisper into Real-Time Transcription System", 2023,
section 2.

A model that learned whole sentences ends them before the speaker does, and alike in two readings: what
nobody can have said by now is not shown either.
"""

from __future__ import annotations

from collections.abc import Sequence

from mome.reading import Token

__all__ = ["Agreement", "tokens_of"]

_WORDS_PER_S = 2.5  # of unhurried speech
_FIRST_S = 0.4  # of speech, for its first word
_HELD_S = 1.0  # of hurried speech: by its own pace, words of the last second wait


class Agreement:
    """What two readings in a row agree on, of one utterance that grows."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self._before: list[str] = []

    def read(self, text: str, spoken_s: float) -> str:
        """Take one more reading, and return what may be shown now and was not before, as one piece of text.

        What was shown stays: a reading that says otherwise adds nothing.

        Args:
            text: Of all that was heard by then.
            spoken_s: How long the speaker spoke by then.
        """
        words = text.split()
        agreed = _common(words, self._before)
        self._before = words
        return self._show(agreed[: _said_by(spoken_s, len(words))])

    def end(self, text: str) -> str:
        """Take the last reading, which needs no second; return what of it was not shown.

        It is empty if that reading does not begin with what was shown.
        """
        return self._show(text.split())

    def _show(self, words: Sequence[str]) -> str:
        known = len(self.shown)
        if list(words[:known]) != self.shown or len(words) <= known:
            return ""
        new = " ".join(words[known:])
        self.shown = list(words)
        return f" {new}" if known else new


def tokens_of(words: str, shown: str, tokens: Sequence[Token]) -> list[Token]:
    """Return the tokens of the last words of what is shown, which a text begins with.

    One that reaches into the next word comes with that.
    """
    start, end, found = len(shown) - len(words), 0, []
    for token in tokens:
        end += len(token.text)
        if end > len(shown):
            break
        if end > start or not start:
            found.append(token)
    return found


def _said_by(spoken_s: float, num_words: int) -> int:
    """Return how many of a reading's words may have been said."""
    if spoken_s < _FIRST_S:
        return 0
    own_pace = num_words * (1 - _HELD_S / spoken_s)
    return int(max(1 + _WORDS_PER_S * (spoken_s - _FIRST_S), own_pace))


def _common(one: Sequence[str], other: Sequence[str]) -> Sequence[str]:
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    return one[:count]
