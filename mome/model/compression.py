"""Token compression: encoder frames to the tokens that the LLM pays for."""

# Shape letters: T frames, then tokens; D encoder width.

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from mome.config import Compression
from mome.errors import MediaError

__all__ = ["COMPRESSIONS", "average_pool", "stack"]


def average_pool(frames_TD: Tensor, rate: int) -> Tensor:
    """Average ``rate`` consecutive frames into one token; an incomplete tail is dropped.

    Args:
        frames_TD: Encoder frames ``(T, D)``.
        rate: Frames per token.

    Returns:
        Tokens ``(T // rate, D)``.

    Raises:
        MediaError: If there are fewer frames than the rate, so that no token would be left.

    Source: Llama-MTSK, MoME section 3; the floor reproduces the papers' token counts.
    """
    return _groups(frames_TD, rate).mean(dim=1)


def stack(frames_TD: Tensor, rate: int) -> Tensor:
    """Lay ``rate`` consecutive frames side by side in one token; an incomplete tail is dropped.

    Args:
        frames_TD: Encoder frames ``(T, D)``.
        rate: Frames per token.

    Returns:
        Tokens ``(T // rate, rate * D)``.

    Raises:
        MediaError: As `average_pool`.

    Source: Llama-AVSR (model facts 2).
    """
    return _groups(frames_TD, rate).flatten(1)


def _groups(frames_TD: Tensor, rate: int) -> Tensor:
    """Return the frames of each token ``(T // rate, rate, D)``."""
    num_tokens = len(frames_TD) // rate
    if num_tokens == 0:
        raise MediaError(
            f"the clip is too short: {len(frames_TD)} encoder frames, but rate {rate} needs {rate}"
        )
    return frames_TD[: num_tokens * rate].unflatten(0, (num_tokens, rate))


COMPRESSIONS: dict[Compression, Callable[[Tensor, int], Tensor]] = {"average": average_pool, "stack": stack}
