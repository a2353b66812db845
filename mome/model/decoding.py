"""Texts while they are decoded together: whole words as soon as they stand, each row up to its own budget."""

# Shape letters: B rows, L tokens so far, V vocabulary.

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.generation.logits_process import LogitsProcessor
from transformers.generation.stopping_criteria import StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from mome.model.tokens import TextTokens
from mome.reading import Listener, Standing, Text, Token

__all__ = ["BeamLimits", "Certainty", "Follower", "Words"]


class Certainty(LogitsProcessor):
    """Goes along with ``generate``, and keeps how sure each row was of each token that it chose."""

    def __init__(self) -> None:
        self.steps: list[Tensor] = []  # of ``(B,)`` each, where the LLM computes

    def __call__(self, _: Tensor, scores: Tensor) -> Tensor:
        """Keep the log probability of the best token of each row; the scores ``(B, V)`` stay as they are."""
        # They are float32, whatever the LLM computes in.
        self.steps.append(scores.amax(dim=-1) - scores.logsumexp(dim=-1))
        return scores


class Words:
    """A text that grows token by token.

    Args:
        tokens: Of the LLM.
    """

    def __init__(self, tokens: TextTokens) -> None:
        self._tokens = tokens
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self._until: list[str] = []  # the text after each token, as far as that was asked
        self._stand: list[Token] = []  # tokens that never change again

    def standing(self) -> Standing:
        """Return the text without its last word, and the tokens that end before that.

        That word's last token may end within a character, and some tokenizers take back the space
        before a comma or an ending. A text without spaces is one word.
        """
        text = self.text()
        standing = text.rpartition(" ")[0]
        written = sum(len(token.text) for token in self._stand)
        for token in self._rest(text, len(self.ids)):
            written += len(token.text)
            if written > len(standing):
                break
            self._stand.append(token)
        return Standing(standing, tuple(self._stand))

    def text(self) -> str:
        """Return all of it."""
        # All of it for each token: its text depends on those before it, and a text is a few dozen tokens.
        known = range(len(self._until), len(self.ids))
        self._until += self._tokens.decode([self.ids[: count + 1] for count in known])
        return self._until[-1]

    def ended(self) -> Text:
        """Return all of it, as it is told: cut, unless its last token is the end."""
        text, is_cut = self.text(), self.ids[-1] != self._tokens.eos_id
        count = len(self.ids) if is_cut else len(self.ids) - 1
        tokens = (*self._stand, *self._rest(text, count))
        return Text(text, is_cut, tokens, None if is_cut else self.logprobs[-1])

    def _rest(self, text: str, count: int) -> Iterator[Token]:
        """Yield the tokens behind those that stand, up to so many; what each adds to the text is its own."""
        begun = len(self._stand)
        written = sum(len(token.text) for token in self._stand)
        for number in range(begun, count):
            # What a token begins, as a character or with a space, a later one may change.
            end = max(written, _shared(self._until[number], text))
            yield Token(self.ids[number], text[written:end], self.logprobs[number])
            written = end


def _shared(one: str, other: str) -> int:
    """Return with how many characters both begin."""
    if other.startswith(one):
        return len(one)
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


class BeamLimits(StoppingCriteria):
    """Ends the beams of rows that need no more.

    Args:
        budgets: Most tokens of each row.
        listeners: One per row.
        device: Where the LLM computes.
    """

    def __init__(self, budgets: Sequence[int], listeners: Sequence[Listener], device: torch.device) -> None:
        self._budgets_B = torch.tensor(budgets, device=device)
        self._listeners = listeners

    def __call__(self, input_ids: Tensor, *_: Any, **__: Any) -> Tensor:
        """Return which beams have ended, as many for each row, other than by their end token."""
        for row, listener in enumerate(self._listeners):
            if listener.gone:
                self._budgets_B[row] = 0
        is_over_B = self._budgets_B <= input_ids.shape[1]
        return is_over_B.repeat_interleave(len(input_ids) // len(is_over_B))


class Follower(BaseStreamer, StoppingCriteria):
    """Goes along with ``generate``: takes the tokens of each row, and ends rows that need no more.

    It is the streamer and a stopping criterion in one.

    Args:
        budgets: Most tokens of each row; 0 for rows that fill up a batch and have no listener, the last ones.
        tokens: Of the LLM.
        listeners: One per row that counts.
        certainty: That goes along as well.
        device: Where the LLM computes.
    """

    def __init__(
        self,
        budgets: Sequence[int],
        tokens: TextTokens,
        listeners: Sequence[Listener],
        certainty: Certainty,
        device: torch.device,
    ) -> None:
        self._budgets = budgets
        self._certainty = certainty
        self._step = 0
        self._budgets_B = torch.tensor(budgets, device=device)
        self._eos_id = tokens.eos_id
        self._listeners = listeners
        self._words = [Words(tokens) for _ in listeners]
        self._running = set(range(len(listeners)))

    def __call__(self, input_ids: Tensor, *_: Any, **__: Any) -> Tensor:
        """Return which rows have ended ``(B,)``, other than by their end token."""
        is_over_B = self._budgets_B <= input_ids.shape[1]
        gone = self._leave()
        if gone:
            self._budgets_B[gone] = 0
            is_over_B[gone] = True
        return is_over_B

    def is_wanted(self) -> bool:
        """Tell whether any row needs more tokens."""
        self._leave()
        return bool(self._running)

    def put(self, value: Tensor) -> None:
        """Take the next token of each row; the prompt, which comes first, is none."""
        if not value.numel():
            return
        self.take(value.tolist(), self._certainty.steps[self._step].tolist())
        self._step += 1

    def take(self, chosen: Sequence[int], logprobs: Sequence[float]) -> None:
        """Take the next token of each row, and its log probability."""
        for row in sorted(self._running):
            self._take(row, chosen[row], logprobs[row])

    def end(self) -> None:
        """Do nothing: each row has its own end."""

    def _leave(self) -> list[int]:
        """End the rows whose listener has gone, and return them."""
        gone = [row for row in self._running if self._listeners[row].gone]
        self._running.difference_update(gone)
        return gone

    def _take(self, row: int, token: int, logprob: float) -> None:
        words, listener = self._words[row], self._listeners[row]
        words.ids.append(token)
        words.logprobs.append(logprob)
        if token == self._eos_id or len(words.ids) >= self._budgets[row]:
            self._running.discard(row)
            listener.ended(words.ended())
        elif listener.live:
            listener.wrote(words.standing())
