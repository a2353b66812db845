"""Texts while they are decoded together: whole words as soon as they stand, each row up to its own budget."""

# Shape letters: B rows, L tokens so far.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.generation.stopping_criteria import StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from mome.model.tokens import TextTokens
from mome.reading import Listener, Text

__all__ = ["Follower", "Words"]


class Words:
    """A text that grows token by token.

    Args:
        tokens: Of the LLM.
    """

    def __init__(self, tokens: TextTokens) -> None:
        self._tokens = tokens
        self.ids: list[int] = []

    def standing(self) -> str:
        """Return the text without its last word.

        That word's last token may end within a character, and some tokenizers take back the space
        before a comma or an ending. A text without spaces is one word.
        """
        # All of it again: a token's text depends on those before it, and a text is a few dozen tokens.
        return self.text().rpartition(" ")[0]

    def text(self) -> str:
        """Return all of it."""
        (text,) = self._tokens.decode([self.ids])
        return text


class Follower(BaseStreamer, StoppingCriteria):
    """Goes along with ``generate``: takes the tokens of each row, and ends rows that need no more.

    It is the streamer and a stopping criterion in one.

    Args:
        budgets: Most tokens of each row; 0 for rows that fill up a batch and have no listener, the last ones.
        tokens: Of the LLM.
        listeners: One per row that counts.
        device: Where the LLM computes.
    """

    def __init__(
        self, budgets: Sequence[int], tokens: TextTokens, listeners: Sequence[Listener], device: torch.device
    ) -> None:
        self._budgets = budgets
        self._budgets_B = torch.tensor(budgets, device=device)
        self._eos_id = tokens.eos_id
        self._listeners = listeners
        self._words = [Words(tokens) for _ in listeners]
        self._running = set(range(len(listeners)))

    def __call__(self, input_ids: Tensor, *_: Any, **__: Any) -> Tensor:
        """Return which rows have ended ``(B,)``, other than by their end token."""
        is_over_B = self._budgets_B <= input_ids.shape[1]
        gone = [row for row in self._running if self._listeners[row].gone]
        if gone:
            self._running.difference_update(gone)
            self._budgets_B[gone] = 0
            is_over_B[gone] = True
        return is_over_B

    def put(self, value: Tensor) -> None:
        """Take the next token of each row; the prompt, which comes first, is none."""
        if not value.numel():
            return
        chosen = value.tolist()
        for row in sorted(self._running):
            self._take(row, chosen[row])

    def end(self) -> None:
        """Do nothing: each row has its own end."""

    def _take(self, row: int, token: int) -> None:
        words, listener = self._words[row], self._listeners[row]
        words.ids.append(token)
        is_end = token == self._eos_id
        if is_end or len(words.ids) >= self._budgets[row]:
            self._running.discard(row)
            listener.ended(Text(words.text(), cut=not is_end))
        elif listener.live:
            listener.wrote(words.standing())
