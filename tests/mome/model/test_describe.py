"""Counts against the papers' tables, on the meta device."""

import re
from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from mome.changes import configured
from mome.config import FoundationParams, TrainParams, load_params, load_profile, parse_section
from mome.methods import METHODS
from mome.model.backbones import llm_config
from mome.model.describe import adapter_size, describe, encoder_lora, prefix_tokens, tera_flops
from mome.scales import Scale

PROFILES = sorted(path.stem for path in Path("mome/profiles").glob("lr*.yaml"))


def train(profile: str, method: str) -> TrainParams:
    return parse_section(TrainParams, load_profile(profile)["train"] | {"method": method} | _scales(method))


def _scales(method: str) -> dict[str, list[str]]:
    return {"scales": ["a4v2"]} if METHODS[method].one_scale else {}


def llm(name: str) -> LlamaForCausalLM:
    with torch.device("meta"):
        return LlamaForCausalLM(llm_config(name))


@pytest.mark.parametrize(
    ("profile", "name", "method", "active"),
    [
        # MoME's table of results, in millions; 12.73 and 3.54 by model facts 4.7.
        ("lrs2-3b", "meta-llama/Llama-3.2-3B", "mome-layer", 12.73),
        ("lrs3-1b", "meta-llama/Llama-3.2-1B", "mome-layer", 3.54),
        ("lrs3-1b", "meta-llama/Llama-3.2-1B", "mome-mhsa", 3.54),
        ("lrs2-3b", "meta-llama/Llama-3.2-3B", "llama-avsr", 27.5),
        ("lrs3-1b", "meta-llama/Llama-3.2-1B", "llama-avsr", 6.8),
        ("lrs2-3b", "meta-llama/Llama-3.2-3B", "mtsk-ss", 27.5),
        ("lrs2-3b", "meta-llama/Llama-3.2-3B", "mtsk-mss", 55.0),
        ("lrs3-1b", "meta-llama/Llama-3.2-1B", "mtsk-mss", 13.6),
        ("lrs3-8b", "meta-llama/Llama-3.1-8B", "mome-layer", 24.64),
    ],
)
def test_active_parameters_are_the_published_ones(
    profile: str, name: str, method: str, active: float
) -> None:
    last_digit = 10.0 ** -len(str(active).split(".")[1])
    found = adapter_size(llm(name), train(profile, method)).active / 1e6
    assert found == pytest.approx(active, abs=0.6 * last_digit)


@pytest.mark.parametrize(("name", "total"), [("1B", 14.13), ("3B", 53.6)])
def test_all_of_mome_is_as_large_as_published(name: str, total: float) -> None:
    profile = {"1B": "lrs3-1b", "3B": "lrs2-3b"}[name]
    size = adapter_size(llm(f"meta-llama/Llama-3.2-{name}"), train(profile, "mome-layer"))
    assert size.trained / 1e6 == pytest.approx(total, abs=0.05)


@pytest.mark.parametrize(
    ("scale", "tokens", "work"),
    [
        (Scale(1, 1), 757, 11.40),
        (Scale(4, 2), 257, 3.87),
        (Scale(4, 5), 182, 2.74),
        (Scale(16, 2), 163, 2.46),
        (Scale(16, 5), 88, 1.33),
    ],
)
def test_tokens_and_work_of_ten_seconds_are_those_of_llama_mtsk(
    scale: Scale, tokens: int, work: float
) -> None:
    assert prefix_tokens(scale, 10) == tokens
    model = llm("meta-llama/Llama-3.1-8B")
    read = sum(p.numel() for p in model.parameters()) - model.get_input_embeddings().weight.numel()
    read += adapter_size(model, train("lrs3-8b", "mtsk-ms")).active
    assert tera_flops(read, tokens) == pytest.approx(work, abs=0.006)


def test_lora_on_avhubert_is_as_large_as_published() -> None:
    foundation = parse_section(FoundationParams, load_profile("lrs3-8b")["foundation"])
    params = train("lrs3-8b", "llama-avsr").model_copy(update={"video_lora_rank": 64})
    found = encoder_lora(foundation, params)
    assert found == {"video LoRA": 24 * 2 * 2 * 64 * 1024}
    assert found["video LoRA"] / 1e6 == pytest.approx(6.29, abs=0.005)
    # Llama-AVSR for lips alone: 27.26 beside the LLM and 14.69 of projector make 48.2 with it.
    lora = adapter_size(llm("meta-llama/Llama-3.1-8B"), params).trained
    projector = (3 * 1024 * 2048 + 2048) + (2048 * 4096 + 4096) + 2 * 4096
    assert (lora + projector + found["video LoRA"]) / 1e6 == pytest.approx(48.2, abs=0.05)


def test_the_table_names_what_is_trained_beside_an_encoder() -> None:
    sections = load_params(Path("params.yaml"))
    params = sections.train.model_copy(update={"audio_lora_rank": 4, "video_lora_rank": 0})
    table = describe(sections.foundation, params, ["mome-ffn"])
    # Of four layers 128 wide: four square matrices, and two to and from 512, per unit of rank.
    assert encoder_lora(sections.foundation, params) == {"audio LoRA": 4 * 4 * (4 * 256 + 2 * 640)}
    assert "audio LoRA           0.04 M  trained" in table
    assert "video LoRA" not in table


@pytest.mark.parametrize(("audio", "said"), [("embedded", "taught first"), (None, "frozen")])
def test_the_table_says_which_encoders_are_taught_first(audio: str | None, said: str) -> None:
    sections = load_params(Path("params.yaml"), "talker")
    foundation = sections.foundation.model_copy(update={} if audio is None else {"audio": audio})
    found = describe(foundation, sections.train, ["mome-layer"])
    assert re.search(rf"^audio encoder .* {said}$", found, re.MULTILINE)
    assert re.search(r"^video encoder .* taught first$", found, re.MULTILINE)


@pytest.mark.parametrize(
    ("profile", "line", "figure"),
    [
        ("lrs3-omni", r"omni-st .* ([\d.]+) M +[\d.]+ GB", 58.75),  # model facts 5.3: 58.8 with 4 projectors
        ("lrs3-omni", r"omni-t .* ([\d.]+) M +[\d.]+ GB", 51.94),  # one adapter less
        ("lrs3-omni", r"omni-st +([\d.]+) M", 27.26),
        ("lrs3-omni", r"omni-st +[\d.]+ M +([\d.]+) M", 13.63),
        ("lrs3-vsr", r"mome-layer +[\d.]+ M +([\d.]+) M", 12.73),
        ("lrs3-vsr", r"mtsk-ss +([\d.]+) M", 5 * 27.525),
        ("lrs3-vsr", r"a4v5 +[\d.]+ +(\d+)", 250 // 5 + 5),
        ("lrs3-asr", r"a20v2 +[\d.]+ +(\d+)", 500 // 20 + 5),
        ("lrs3-asr", r"a20v2 +([\d.]+)", 2.5),
        ("lrs3-asr", r"a12v2 +([\d.]+)", 4.17),
        ("lrs3-vsr", r"a4v1 +([\d.]+)", 25),
        # Five projectors of sound, 6.30 M each (model facts 1.4), beside 14.13 M of MoME.
        ("lrs3-asr", r"mome-layer +[\d.]+ M +[\d.]+ M +[\d.]+ M +([\d.]+) M", 14.127 + 5 * 6.29965),
        ("lrs3-8b", r"a16v2 +[\d.]+ +163 +([\d.]+)", 2.45),  # with MoME
        ("lrs3-8b", r"a16v2 +[\d.]+ +163 +[\d.]+ +([\d.]+)", 2.46),  # with LoRA, as published
    ],
)
def test_the_table_of_a_profile_has_the_published_figures(profile: str, line: str, figure: float) -> None:
    found = re.search(rf"^{line}", table(profile), re.MULTILINE)
    assert found is not None
    assert float(found[1]) == pytest.approx(figure, abs=0.006)


@cache
def table(profile: str) -> str:
    sections = load_params(Path("params.yaml"), profile)
    return describe(sections.foundation, sections.train, METHODS)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_is_complete_and_ends_as_the_papers_do(profile: str) -> None:
    params = load_params(Path("params.yaml"), profile)
    configured({}, params.sections())
    papers = params.train
    epochs = papers.steps / papers.checkpoint_every
    assert epochs == int(epochs), "a checkpoint for each epoch"
    # Hours of training (model facts 10) in video frames, by what a step holds (model facts 6).
    hours = 224 if profile.startswith("lrs2") else 433
    assert papers.checkpoint_every == pytest.approx(hours * 3600 * 25 / papers.batch_frames, rel=0.01)
    assert (papers.keep, papers.audio_padding) == ("last", "30s")
    assert papers.learning_rate == (5e-4 if profile == "lrs3-vsr" else 1e-3)
    assert papers.noise == params.evaluate.noise == "babble_noise.wav"
    assert papers.video_lora_rank == (64 if "video" in papers.task_weights else 0)
