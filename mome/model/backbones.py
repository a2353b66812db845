"""Sizes of the published backbones, so that they can be counted without their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoConfig, LlamaConfig, PretrainedConfig, Qwen2Config, WhisperConfig

from mome.errors import ConfigError
from mome.model.avhubert import AVHubertConfig

__all__ = ["audio_config", "llm_config", "video_config"]

_LLAMA: dict[str, Any] = {"vocab_size": 128_256, "num_key_value_heads": 8, "max_position_embeddings": 131_072}

_LLMS: dict[str, PretrainedConfig] = {
    "meta-llama/Llama-3.2-1B": LlamaConfig(
        **_LLAMA, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32,
        head_dim=64, tie_word_embeddings=True,
    ),
    "meta-llama/Llama-3.2-3B": LlamaConfig(
        **_LLAMA, hidden_size=3072, intermediate_size=8192, num_hidden_layers=28, num_attention_heads=24,
        head_dim=128, tie_word_embeddings=True,
    ),
    "meta-llama/Llama-3.1-8B": LlamaConfig(
        **_LLAMA, hidden_size=4096, intermediate_size=14_336, num_hidden_layers=32, num_attention_heads=32,
        head_dim=128,
    ),
    "Qwen/Qwen2.5-0.5B": Qwen2Config(
        vocab_size=151_936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
        num_attention_heads=14, num_key_value_heads=2, tie_word_embeddings=True,
    ),
    "Qwen/Qwen2.5-1.5B": Qwen2Config(
        vocab_size=151_936, hidden_size=1536, intermediate_size=8960, num_hidden_layers=28,
        num_attention_heads=12, num_key_value_heads=2, tie_word_embeddings=True,
    ),
    "Qwen/Qwen2.5-7B": Qwen2Config(
        vocab_size=152_064, hidden_size=3584, intermediate_size=18_944, num_hidden_layers=28,
        num_attention_heads=28, num_key_value_heads=4,
    ),
}  # fmt: skip

_WHISPERS = {  # width, encoder layers
    "openai/whisper-tiny": (384, 4),
    "openai/whisper-base": (512, 6),
    "openai/whisper-small": (768, 12),
    "openai/whisper-medium": (1024, 24),
}


def llm_config(source: str) -> Any:
    """Return the sizes of an LLM, from its hub name or its folder.

    Raises:
        ConfigError: If it is neither a known name nor a folder.
    """
    return _found(_LLMS, source, source.partition("@")[0])


def audio_config(source: str) -> Any:
    """Return the sizes of a Whisper; `llm_config` says what it raises."""
    sizes = {
        name: WhisperConfig(
            d_model=width,
            encoder_layers=layers,
            encoder_attention_heads=width // 64,
            encoder_ffn_dim=4 * width,
            decoder_layers=layers,
            decoder_attention_heads=width // 64,
            decoder_ffn_dim=4 * width,
        )
        for name, (width, layers) in _WHISPERS.items()
    }
    return _found(sizes, source, source.partition("@")[0].removesuffix(".en"))


def video_config(source: str) -> AVHubertConfig:
    """Return the sizes of an AV-HuBERT: of a folder; else of the large one, whose file may be absent."""
    folder = Path(source)
    if (folder / "config.json").is_file():
        return AVHubertConfig.from_pretrained(folder)
    return AVHubertConfig()


def _found(known: dict[str, Any], source: str, name: str) -> Any:
    if name in known:
        return known[name]
    if (Path(source) / "config.json").is_file():
        return AutoConfig.from_pretrained(source, local_files_only=True, trust_remote_code=False)
    raise ConfigError(
        f"{source}: the sizes are known of {', '.join(known)} and of a folder with a config.json; "
        "this is neither"
    )
