"""What a model is asked and what it answers: known to the service without any of the model's libraries."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from mome.scales import Scale
from mome.speech.media import Clip

__all__ = ["Kept", "Listener", "Reading", "Standing", "Text", "Token", "Word"]


class Reading(NamedTuple):
    """Read ``clip`` at ``scale``; ``timed`` says when each word is said, too."""

    clip: Clip
    scale: Scale
    timed: bool = False


class Token(NamedTuple):
    """One token of a text, and how sure of it the model was.

    Args:
        id: Of the LLM.
        text: What it adds to the text, which all of them together are; empty for one that ends within a
            character, and the next has it whole.
        logprob: Natural logarithm of its probability among all tokens, after those before it.
    """

    id: int
    text: str
    logprob: float


class Word(NamedTuple):
    """One word of a text.

    Args:
        text: Without spaces.
        start_s: From the beginning of the clip.
        end_s: Likewise.
        probability: Mean over its tokens.
    """

    text: str
    start_s: float
    end_s: float
    probability: float

    def later(self, seconds: float) -> Word:
        """Return the word in a recording of which the clip is a piece that begins so late."""
        return self._replace(start_s=self.start_s + seconds, end_s=self.end_s + seconds)

    def within(self, seconds: float) -> Word:
        """Return the word in a recording that ends then."""
        return self._replace(start_s=min(self.start_s, seconds), end_s=min(self.end_s, seconds))


class Text(NamedTuple):
    """What was written.

    Args:
        text: All of it.
        cut: The budget of tokens ended it.
        tokens: That it was written in, without the one that ends it.
        end_logprob: Of that one; None if it was cut.
        words: When each is said; empty unless that was asked.
    """

    text: str
    cut: bool
    tokens: tuple[Token, ...] = ()
    end_logprob: float | None = None
    words: tuple[Word, ...] = ()

    @property
    def mean_logprob(self) -> float:
        """Mean over the tokens and the end, as Whisper counts it; 0 for a text that nobody wrote."""
        chosen = [token.logprob for token in self.tokens]
        if self.end_logprob is not None:
            chosen.append(self.end_logprob)
        return sum(chosen) / max(1, len(chosen))


class Standing(NamedTuple):
    """What of a text never changes again: all up to its last whole word.

    Args:
        text: So far.
        tokens: That it was written in; one that reaches into the next word comes with that.
    """

    text: str = ""
    tokens: tuple[Token, ...] = ()

    def then(self, more: Standing | Text) -> Standing:
        """Return it with the text of a later piece of the recording behind it."""
        tokens = more.tokens
        if self.text and more.text:
            # Their texts together are the text, and it has a space there.
            first, rest = tokens[:1], tokens[1:]
            tokens = (*(token._replace(text=f" {token.text}") for token in first), *rest)
            return Standing(f"{self.text} {more.text}", self.tokens + tokens)
        return Standing(self.text + more.text, self.tokens + tokens)


class Listener(Protocol):
    """Whoever waits for one text; called in the thread that decodes."""

    @property
    def gone(self) -> bool:
        """Whether nobody waits any more; the text is then left where it is."""

    @property
    def live(self) -> bool:
        """Whether the text is wanted while it is written."""

    def wrote(self, standing: Standing) -> None:
        """Take the text up to its last whole word."""

    def ended(self, text: Text) -> None:
        """Take the whole text; other texts of the batch may still be written."""


class Kept:
    """A listener who wants a whole text and nothing before; empty until then."""

    gone = False
    live = False
    text = Text("", cut=False)

    def wrote(self, standing: Standing) -> None:
        """Do nothing: nobody reads along."""

    def ended(self, text: Text) -> None:
        """Keep it."""
        self.text = text
