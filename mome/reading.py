"""What a model is asked and what it answers: known to the service without any of the model's libraries."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from mome.scales import Scale
from mome.speech.media import Clip

__all__ = ["Kept", "Listener", "Reading", "Text"]


class Reading(NamedTuple):
    """Read ``clip`` at ``scale``."""

    clip: Clip
    scale: Scale


class Text(NamedTuple):
    """What was written; ``cut`` if the budget of tokens ended it."""

    text: str
    cut: bool


class Listener(Protocol):
    """Whoever waits for one text; called in the thread that decodes."""

    @property
    def gone(self) -> bool:
        """Whether nobody waits any more; the text is then left where it is."""

    @property
    def live(self) -> bool:
        """Whether the text is wanted while it is written."""

    def wrote(self, text: str) -> None:
        """Take the text up to its last whole word, which never changes again."""

    def ended(self, text: Text) -> None:
        """Take the whole text; other texts of the batch may still be written."""


class Kept:
    """A listener who wants a whole text and nothing before; empty until then."""

    gone = False
    live = False
    text = ""

    def wrote(self, text: str) -> None:
        """Do nothing: nobody reads along."""

    def ended(self, text: Text) -> None:
        """Keep it."""
        self.text = text.text
