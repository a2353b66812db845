"""Models with random weights: speed does not depend on what a model has learnt."""

# Shape letters: N samples, T frames, H height, W width of a picture.

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import numpy as np
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast, WhisperFeatureExtractor, WhisperModel

from mome.benchmark.options import Options
from mome.foundation.encoders import new_audio_encoder, new_video_encoder
from mome.foundation.language import new_language_model
from mome.foundation.tokenizer import new_tokenizer
from mome.machine.processor import attention
from mome.methods import METHODS
from mome.model.adaptation import adapt
from mome.model.audio_encoder import AudioEncoder
from mome.model.avhubert import AVHubertModel
from mome.model.avsr import AVSRModel
from mome.model.backbones import audio_config, llm_config, video_config
from mome.model.encoders import Encoders
from mome.model.recogniser import Recogniser
from mome.model.tokens import TextTokens
from mome.model.video_encoder import VideoEncoder
from mome.scales import Scale
from mome.speech.media import Clip

__all__ = [
    "adapted",
    "embedded",
    "embedded_encoders",
    "llama_1b",
    "published_encoders",
    "random_clip",
    "recogniser",
]

_SEED = 23
_MOUTH = 96  # pixels
_SAMPLES_PER_VIDEO_FRAME = 640  # 16,000 Hz / 25 fps


def embedded(options: Options) -> Recogniser:
    """Return the embedded default before any lesson, with MoME beside its LLM."""
    llm = new_language_model(_tokenizer())
    return recogniser(embedded_encoders(options), adapted(llm, options), options)


def embedded_encoders(options: Options) -> Encoders:
    """Return the embedded default's encoders before any lesson."""
    torch.manual_seed(_SEED)
    audio, _, _ = new_audio_encoder()
    return _frozen(audio, new_video_encoder(), options)


def published_encoders(options: Options) -> Encoders:
    """Return encoders with the shapes of Whisper-medium and AV-HuBERT Large (model facts 1.2 and 9.2)."""
    heard, seen = audio_config("openai/whisper-medium.en"), video_config("large")
    heard.decoder_layers = 1  # not used
    heard._attn_implementation = "eager"  # as `AudioEncoder.load` does
    if options.quick:
        heard.encoder_layers, seen.num_hidden_layers = 1, 1
        heard.encoder_attention_heads, heard.decoder_attention_heads = 1, 1
        heard.d_model, heard.encoder_ffn_dim, heard.decoder_ffn_dim = 64, 64, 64
        seen.hidden_size, seen.intermediate_size, seen.resnet_channels = 64, 64, (4, 4, 4, 4)
    torch.manual_seed(_SEED)
    with torch.device(options.device):
        whisper, avhubert = WhisperModel(heard), AVHubertModel(seen)
    return _frozen(AudioEncoder(whisper, WhisperFeatureExtractor()), VideoEncoder(avhubert), options)


def llama_1b(options: Options, dtype: torch.dtype) -> Any:
    """Return an LLM with the shapes of Llama-3.2-1B and MoME beside it (model facts 1.5), all in ``dtype``.

    It has as many layers as asked for; in a quick run it is narrow as well.
    """
    sizes = deepcopy(llm_config("meta-llama/Llama-3.2-1B"))
    sizes.num_hidden_layers = options.layers
    if options.quick:
        sizes.hidden_size, sizes.intermediate_size, sizes.vocab_size = 128, 256, 1024
        sizes.num_attention_heads, sizes.num_key_value_heads, sizes.head_dim = 4, 2, 32
    # Like the experts' precision, as a checkpoint is loaded.
    sizes._attn_implementation = attention(options.device)
    torch.manual_seed(_SEED)
    with torch.device(options.device):
        return adapted(LlamaForCausalLM._from_config(sizes, dtype=dtype), options).to(dtype)


def adapted(llm: LlamaForCausalLM, options: Options) -> Any:
    """Freeze an LLM and put MoME beside its layers."""
    return adapt(llm.eval().requires_grad_(False), options.train)


def recogniser(encoders: Encoders, llm: Any, options: Options) -> Recogniser:
    """Put projectors between encoders and an adapted LLM."""
    train = options.train
    model = AVSRModel(
        llm,
        TextTokens(_tokenizer()),
        [Scale.parse(text) for text in train.scales],
        encoders.audio.width,
        encoders.video.width,
        method=METHODS[train.method],
        compression=train.compression,
        projector_dim=train.projector_dim,
    )
    return Recogniser(encoders, model.to(options.device))


def random_clip(num_frames: int, rng: np.random.Generator) -> Clip:
    """Return noise for sound and for picture, of ``num_frames`` video frames at 25 fps."""
    samples_N = rng.standard_normal(num_frames * _SAMPLES_PER_VIDEO_FRAME, dtype=np.float32)
    mouth_THW = rng.integers(256, size=(num_frames, _MOUTH, _MOUTH), dtype=np.uint8)
    return Clip(samples_N / np.float32(10), mouth_THW)


@cache
def _tokenizer() -> PreTrainedTokenizerFast:
    return new_tokenizer(_SEED)


def _frozen(audio: AudioEncoder, video: VideoEncoder, options: Options) -> Encoders:
    return Encoders(
        audio.eval().requires_grad_(False).to(options.device),
        video.eval().requires_grad_(False).to(options.device),
    )
