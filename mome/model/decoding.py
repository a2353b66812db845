"""Text while it is decoded: generation in a thread of its own, and whole words as soon as they stand."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event

from torch import Tensor
from transformers.generation.streamers import BaseStreamer

from mome.model.tokens import TextTokens

__all__ = ["TokenStreamer", "chosen_tokens", "whole_words"]


class TokenStreamer(BaseStreamer):
    """Takes tokens from ``generate`` in one thread and hands them out in another; None is the end."""

    def __init__(self) -> None:
        self.tokens: SimpleQueue[int | None] = SimpleQueue()
        self.abandoned = Event()

    def put(self, value: Tensor) -> None:
        """Take what was chosen; raise out of ``generate`` when nobody reads any more."""
        if self.abandoned.is_set():
            raise _AbandonedError
        for token in value.flatten().tolist():
            self.tokens.put(token)

    def end(self) -> None:
        """Do nothing: a generation that fails does not come here, so its thread marks the end."""


class _AbandonedError(Exception):
    """Nobody reads the tokens any more."""


def chosen_tokens(generate: Callable[[TokenStreamer], object]) -> Generator[int, None, None]:
    """Yield tokens as ``generate`` chooses them.

    The thread has ended when this generator has: exhausted, closed or failed. Closing it early waits
    for the token that is being computed, and no longer.

    Args:
        generate: Runs one sequence to its end, greedily, in a thread of its own.

    Raises:
        Exception: What ``generate`` raised, after the tokens before it.
    """
    streamer = TokenStreamer()
    with ThreadPoolExecutor(1, thread_name_prefix="decoding") as pool:
        running = pool.submit(generate, streamer)
        running.add_done_callback(lambda _: streamer.tokens.put(None))
        try:
            while (token := streamer.tokens.get()) is not None:
                yield token
        finally:
            streamer.abandoned.set()
        running.result()


def whole_words(chosen: Iterable[int], tokens: TextTokens) -> Generator[str, None, None]:
    """Yield a text word by word; the pieces joined are what ``tokens.decode`` makes of all tokens.

    A word is held back until the next one begins: its last token may end within a character, and some
    tokenizers take back the space before a comma or an ending. A text without spaces is one word.
    """
    ids: list[int] = []
    text = written = ""
    for token in chosen:
        ids.append(token)
        # All of it again: a token's text depends on those before it, and a text is a few dozen tokens.
        (text,) = tokens.decode([ids])
        decided = text.rpartition(" ")[0]
        if len(decided) > len(written):
            yield decided[len(written) :]
            written = decided
    if len(text) > len(written):
        yield text[len(written) :]
