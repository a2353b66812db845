"""Token compression: encoder frames to the tokens that the LLM pays for."""

# Shape letters: T frames, then tokens; D encoder width.

from __future__ import annotations

from torch import Tensor

from mome.errors import MediaError

__all__ = ["average_pool"]


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
    num_tokens = len(frames_TD) // rate
    if num_tokens == 0:
        raise MediaError(
            f"the clip is too short: {len(frames_TD)} encoder frames, but rate {rate} needs {rate}"
        )
    return frames_TD[: num_tokens * rate].unflatten(0, (num_tokens, rate)).mean(dim=1)
