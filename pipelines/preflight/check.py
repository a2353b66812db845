"""One look at one thing, and what it comes to: right, something to do, or nothing that could be seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from mome.errors import MomeError
from pipelines.calls import one_line

__all__ = ["Answer", "Check", "Hidden", "right", "to_do", "unseen"]

Mark = Literal["right", "TO DO", "unseen"]


class Hidden(MomeError):
    """Whoever asks may not see it."""


class Answer(NamedTuple):
    """What a look came to; what could not be seen stops nothing, and promises nothing."""

    mark: Mark
    text: str


def right(text: str) -> Answer:
    """Return the answer of a look that found all as it should be."""
    return Answer("right", text)


def to_do(text: str) -> Answer:
    """Return the answer of a look that found what would stop a run; the text says what to do."""
    return Answer("TO DO", text)


def unseen(text: str) -> Answer:
    """Return the answer of a look that could not see."""
    return Answer("unseen", text)


@dataclass(frozen=True)
class Check:
    """A look that is still to be taken.

    Args:
        subject: What is looked at.
        look: Takes the look; an error is something to do, `Hidden` is not.
    """

    subject: str
    look: Callable[[], Answer]

    def answer(self) -> Answer:
        """Take the look."""
        try:
            return self.look()
        except Hidden as error:
            return unseen(one_line(error))
        except MomeError as error:
            return to_do(one_line(error))
