"""Average pooling against a plain loop, and the papers' token counts."""

import pytest
import torch

from mome.errors import MediaError
from mome.model.compression import average_pool


@pytest.mark.parametrize(("frames", "rate"), [(16, 4), (17, 4), (19, 16), (5, 5), (7, 1)])
def test_pooling_equals_a_loop_and_drops_the_tail(frames: int, rate: int) -> None:
    frames_TD = torch.randn(frames, 3)
    expected = [frames_TD[start : start + rate].mean(0) for start in range(0, frames - rate + 1, rate)]
    torch.testing.assert_close(average_pool(frames_TD, rate), torch.stack(expected))


@pytest.mark.parametrize(
    ("audio_rate", "video_rate", "tokens"), [(1, 1, 750), (4, 2, 250), (4, 5, 175), (16, 2, 156), (16, 5, 81)]
)
def test_a_ten_second_clip_costs_the_published_number_of_tokens(
    audio_rate: int, video_rate: int, tokens: int
) -> None:
    # Llama-MTSK, table 4, prints 757, 257, 182, 163 and 88: these and seven tokens of the prompt.
    audio, video = (
        average_pool(torch.zeros(500, 1), audio_rate),
        average_pool(torch.zeros(250, 1), video_rate),
    )
    assert len(audio) + len(video) == tokens


def test_a_clip_shorter_than_one_token_is_refused_with_both_numbers() -> None:
    with pytest.raises(MediaError, match="15 encoder frames, but rate 16"):
        average_pool(torch.zeros(15, 3), 16)
