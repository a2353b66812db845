"""Recognisers of a few thousand random weights behind planted features, and what they read."""

from collections.abc import Sequence

import torch
from peft import get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, WhisperConfig

from mome.foundation.tokenizer import new_tokenizer
from mome.model.avsr import AVSRModel, Features, Task
from mome.model.tokens import TextTokens
from mome.scales import Scale
from mome.tuners.mome import MomeConfig

# A whole encoder in thousands of weights; frames for four seconds.
SMALL_WHISPER = WhisperConfig(
    d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=64, max_source_positions=200,
    decoder_layers=1, decoder_attention_heads=1, decoder_ffn_dim=4, vocab_size=4, max_target_positions=4,
    pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
)  # fmt: skip
SCALES = [Scale(4, 2), Scale(16, 5)]
AUDIO_WIDTH, VIDEO_WIDTH = 6, 5


def small_recogniser(
    spread: float = 0.02, end_factor: float = 1, top_k: int | list[int] = 4, scales: Sequence[Scale] = SCALES
) -> AVSRModel:
    """Return a random model: ``spread`` of its weights, and how strongly it wants to end a text."""
    torch.manual_seed(0)
    tokens = TextTokens(new_tokenizer(0))
    config = LlamaConfig(
        vocab_size=640, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, pad_token_id=tokens.pad_id, initializer_range=spread,
    )  # fmt: skip
    llm = LlamaForCausalLM(config)
    llm.lm_head.weight.data[tokens.eos_id] *= end_factor
    adapted = get_peft_model(llm, MomeConfig(init_std=0.3, bottleneck_dim=2, top_k=top_k))
    return AVSRModel(adapted, tokens, scales, audio_width=AUDIO_WIDTH, video_width=VIDEO_WIDTH).eval()


def clip(video_frames: int) -> Features:
    """Return random features, the same for the same number of frames at 25 fps."""
    generator = torch.Generator().manual_seed(video_frames)
    return Features(
        torch.randn(2 * video_frames, AUDIO_WIDTH, generator=generator),
        torch.randn(video_frames, VIDEO_WIDTH, generator=generator),
    )


TASKS = [
    Task(features, scale)
    for features in (clip(40), clip(25).only("audio"), clip(33).only("video"))
    for scale in SCALES
]
