"""``python -m mome.model.describe``: what a method costs on given backbones, before anything is downloaded.

Everything is built on the meta device, where tensors have shapes and no content.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, WhisperModel

from mome.cli import main
from mome.config import EMBEDDED, FoundationParams, TrainParams, load_params, load_profile, parse_section
from mome.foundation.encoders import new_audio_encoder, new_video_encoder
from mome.foundation.language import new_language_model
from mome.foundation.tokenizer import new_tokenizer
from mome.machine.processor import decided
from mome.methods import METHODS, MethodName
from mome.modalities import distinct_scales, needed, readings
from mome.model.adaptation import adapt
from mome.model.audio_encoder import with_audio_lora
from mome.model.avhubert import AVHubertModel
from mome.model.backbones import audio_config, llm_config, video_config
from mome.model.projectors import Widths, build_projectors
from mome.model.video_encoder import with_video_lora
from mome.records import MODALITY_NAMES, Modality
from mome.scales import AUDIO_FRAMES_PER_SECOND, VIDEO_FRAMES_PER_SECOND, Scale
from mome.tuners.mome.experts import Experts

__all__ = ["AdapterSize", "adapter_size", "describe", "encoder_lora", "prefix_tokens", "tera_flops"]

_EXTRA_TOKENS = 7  # begin, four delimiters, prompt: what reproduces the published counts (model facts 2)
_DELIMITERS = 2  # of the modality that is not there
_AS_PUBLISHED: MethodName = "mtsk-ms"  # whose LoRA the published work of the LLM counts in (model facts 2)
_BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True)
class AdapterSize:
    """Parameters beside the LLM: all that are trained, and those that one token of one scale meets."""

    trained: int
    active: int


def adapter_size(llm: Any, params: TrainParams) -> AdapterSize:
    """Count what a method puts beside an LLM; the LLM is changed by it.

    Active are the kept routed experts, the shared ones and the router, with their biases (model facts
    4.7); of LoRA, the adapters that one scale uses, read as the richest modality that is trained.
    Projectors are not in these columns of the papers.
    """
    with torch.device("meta"):
        adapted = adapt(llm, params)
    trained = _trained(adapted)
    method = METHODS[params.method]
    if method.experts is None:
        used = method.adapters(_richest(params), Scale.parse(params.scales[0]))
        active = sum(
            parameter.numel()
            for name, parameter in adapted.named_parameters()
            if parameter.requires_grad and any(f".{adapter}." in name for adapter in used)
        )
        return AdapterSize(trained, active)
    idle = 0
    for experts in adapted.modules():
        if isinstance(experts, Experts):
            routed = experts.num_experts * sum(
                parameter[0].numel()
                for parameter in (
                    experts.down_weight_MWD,
                    experts.down_bias_MW,
                    experts.up_weight_MWD,
                    experts.up_bias_MD,
                )
            )
            idle += routed * (experts.num_experts - max(experts.top_k)) // experts.num_experts
    return AdapterSize(trained, trained - idle)


def encoder_lora(foundation: FoundationParams, params: TrainParams) -> dict[str, int]:
    """Count the LoRA beside each encoder that has one."""
    sizes = {}
    with torch.device("meta"):
        if params.audio_lora_rank:
            sizes["audio LoRA"] = _trained(with_audio_lora(_audio(foundation), params.audio_lora_rank))
        if params.video_lora_rank:
            sizes["video LoRA"] = _trained(with_video_lora(_video(foundation), params.video_lora_rank))
    return sizes


def prefix_tokens(scale: Scale, seconds: float, modality: Modality = "av") -> int:
    """Return the tokens of a clip, read as ``modality``, with what stands around them."""
    audio = int(seconds * AUDIO_FRAMES_PER_SECOND) // scale.audio_rate
    video = int(seconds * VIDEO_FRAMES_PER_SECOND) // scale.video_rate
    if modality == "av":
        return audio + video + _EXTRA_TOKENS
    return (audio if modality == "audio" else video) + _EXTRA_TOKENS - _DELIMITERS


def tera_flops(num_parameters: int, tokens: int) -> float:
    """Return the work of reading tokens: two operations per parameter and token, embeddings apart."""
    return 2 * num_parameters * tokens / 1e12


def describe(foundation: FoundationParams, train: TrainParams, methods: Iterable[MethodName]) -> str:
    """Return the table of a profile: parameters by method, tokens and work by scale, memory.

    Raises:
        ConfigError: If the sizes of a backbone are not known.
    """
    audio, video, llm = _audio(foundation), _video(foundation), _llm(foundation)
    frozen = {"audio encoder": _count(audio), "video encoder": _count(video), "LLM": _count(llm)}
    read = frozen["LLM"] - llm.get_input_embeddings().weight.numel()
    if llm.config.tie_word_embeddings:
        read += llm.get_input_embeddings().weight.numel()  # the same rows once more, as the head
    scales = [Scale.parse(text) for text in train.scales]
    lora = encoder_lora(foundation, train)
    taught = {"video encoder"} if train.video_steps else set()
    if train.audio_steps and foundation.audio == EMBEDDED:
        taught.add("audio encoder")
    lines = [
        f"{part:15}{count / 1e6:10.1f} M  {'taught first' if part in taught else 'frozen'}"
        for part, count in frozen.items()
    ]
    lines += [f"{part:15}{count / 1e6:10.2f} M  trained" for part, count in lora.items()]
    lines += [
        "",
        f"read as: {', '.join(MODALITY_NAMES[each] for each in readings(train.task_weights, 'av'))}",
    ]
    columns = f"{'method':18}{'adapters':>12}{'active':>12}{'projectors':>14}{'trained in all':>17}"
    lines += ["", f"{columns}{'training state':>17}"]
    for name in methods:
        one_scale = METHODS[name].one_scale
        params = train.model_copy(
            update={"method": name, "scales": train.scales[:1] if one_scale else train.scales}
        )
        size = adapter_size(_llm(foundation), params)
        projectors = _projectors(audio, video, llm, params)
        total = size.trained + projectors + sum(lora.values())
        state = total * 16  # float32 weight, gradient and two moments
        lines.append(
            f"{name:18}{size.trained / 1e6:10.2f} M{size.active / 1e6:10.2f} M{projectors / 1e6:12.2f} M"
            f"{total / 1e6:15.2f} M{state / 1e9:14.2f} GB"
        )
    if len(train.task_weights) < len(MODALITY_NAMES):
        lines.append("omni-t and omni-st have an adapter for each task: here only for what is read")
    lines += ["", "work of the LLM for 10 s, with the active parameters of a method (published: mtsk-ms)"]
    work = [train.method, *(name for name in [_AS_PUBLISHED] if name != train.method)]
    active = [
        adapter_size(_llm(foundation), train.model_copy(update={"method": name})).active for name in work
    ]
    heads = "".join(f"{f'TFLOPs {name}':>24}" for name in work)
    lines.append(f"{'scale':8}{'tokens/s':>10}{'tokens':>8}{heads}")
    modality = _richest(train)
    for alike in distinct_scales([Scale(1, 1), *scales], modality):
        scale = next((each for each in alike if each in scales), alike[0])
        tokens = prefix_tokens(scale, 10, modality)
        per_second = {
            "av": scale.tokens_per_second,
            "audio": AUDIO_FRAMES_PER_SECOND / scale.audio_rate,
            "video": VIDEO_FRAMES_PER_SECOND / scale.video_rate,
        }[modality]
        done = "".join(f"{tera_flops(read + each, tokens):24.2f}" for each in active)
        lines.append(f"{scale!s:8}{per_second:10.3g}{tokens:8}{done}")
    precision = decided(train).precision
    weights = sum(frozen.values()) * _BYTES[precision]
    lines += ["", f"frozen weights in {precision}: {weights / 1e9:.2f} GB; activations come on top"]
    return "\n".join(lines)


def _richest(params: TrainParams) -> Modality:
    return readings(params.task_weights, "av")[0]


def _audio(foundation: FoundationParams) -> Any:
    with torch.device("meta"):
        if foundation.audio == EMBEDDED:
            return WhisperModel(new_audio_encoder()[1].config).encoder
        return WhisperModel(audio_config(foundation.audio)).encoder


def _video(foundation: FoundationParams) -> Any:
    with torch.device("meta"):
        if foundation.video == EMBEDDED:
            return new_video_encoder().avhubert
        return AVHubertModel(video_config(foundation.video))


def _llm(foundation: FoundationParams) -> Any:
    embedded = foundation.llm == EMBEDDED
    config = (
        new_language_model(new_tokenizer(foundation.seed)).config if embedded else llm_config(foundation.llm)
    )
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def _projectors(audio: Any, video: Any, llm: Any, params: TrainParams) -> int:
    widths = Widths(
        audio.config.d_model, video.config.hidden_size, params.projector_dim, llm.config.hidden_size
    )
    scales = [Scale.parse(text) for text in params.scales]
    mixture = METHODS[params.method].projectors
    with torch.device("meta"):
        sound, lips = build_projectors(
            scales, widths, params.compression, mixture, params.num_projectors, params.projector_top_k
        )
    read = {"audio": [sound], "video": [lips], "av": [sound, lips]}[needed(params.task_weights)]
    return _count(nn.ModuleList(read))


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _trained(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mome.model.describe", description=__doc__)
    parser.add_argument("--profile", help="one of mome/profiles, such as lrs2-3b")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="without a profile")
    return parser.parse_args(arguments)


def _describe() -> None:
    given = _parse()
    if given.profile is None:
        params = load_params(given.params)
        foundation, train = params.foundation, params.train
    else:
        sections = load_profile(given.profile)
        foundation = parse_section(FoundationParams, sections["foundation"])
        train = parse_section(TrainParams, sections["train"])
    print(describe(foundation, train, METHODS))


if __name__ == "__main__":
    raise SystemExit(main(_describe))
