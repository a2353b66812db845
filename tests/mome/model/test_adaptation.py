"""Adapters beside an LLM: the papers' sums, by hand, and who learns from what."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from mome.config import TrainParams, load_params
from mome.errors import ConfigError
from mome.model.adaptation import adapt, adapter_names, select_adapters, width_std


def llm() -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    return LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=2, num_key_value_heads=1)).eval()


def params(method: str, **changed: object) -> TrainParams:
    train = load_params(Path("params.yaml")).train
    return train.model_copy(update={"method": method, "task_weights": {"av": 1.0}, "lora_rank": 3, **changed})


def by_hand(adapted: object, base: LlamaForCausalLM, names: list[str], scaling: float) -> LlamaForCausalLM:
    """Return a plain LLM whose query and value weights hold ``scaling * B A`` of the named adapters."""
    tensors = dict(adapted.named_parameters())
    for number, layer in enumerate(base.model.layers):
        for part in ("q_proj", "v_proj"):
            place = f"base_model.model.model.layers.{number}.self_attn.{part}"
            for name in names:
                down, up = (tensors[f"{place}.lora_{side}.{name}.weight"] for side in "AB")
                getattr(layer.self_attn, part).weight.data += scaling * (up @ down).data
    return base


def read(model: object) -> Tensor:
    with torch.inference_mode():
        return model(torch.arange(6)[None]).logits


@pytest.mark.parametrize(
    ("method", "names"), [("mtsk-ms", ["shared"]), ("mtsk-ss", ["a4v5"]), ("mtsk-mss", ["shared", "a4v5"])]
)
def test_active_adapters_are_summed_with_the_papers_factor(method: str, names: list[str]) -> None:
    adapted = adapt(llm(), params(method, lora_scaling=0.125))
    for name, parameter in adapted.named_parameters():
        if ".lora_" in name:
            torch.nn.init.normal_(parameter)
    select_adapters(adapted, names)
    torch.testing.assert_close(read(adapted), read(by_hand(adapted, llm(), names, 0.125)))


def test_a_gradient_reaches_the_adapters_that_took_part_and_no_other() -> None:
    settings = params("mtsk-mss")
    adapted = adapt(llm(), settings)
    assert adapter_names(settings) == ("shared", "a4v2", "a4v5", "a16v2", "a16v5")
    select_adapters(adapted, ["shared", "a16v2"])
    adapted(torch.arange(6)[None]).logits.sum().backward()
    learnt = {name for name, parameter in adapted.named_parameters() if parameter.grad is not None}
    assert learnt
    assert all(".shared." in name or ".a16v2." in name for name in learnt)
    trained = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert all(any(f".{name}." in each for each in trained) for name in adapter_names(settings))
    assert all(".lora_" in name for name in trained)


def test_an_adapter_that_is_not_there_is_refused() -> None:
    adapted = adapt(llm(), params("mtsk-ss", task_weights={"audio": 1.0}))
    with pytest.raises(ConfigError, match="no adapter a4v2 stands beside the LLM; there are a4, a16"):
        select_adapters(adapted, ["a4v2"])


@pytest.mark.parametrize("method", ["mtsk-ss", "mome-ffn"])
@pytest.mark.parametrize("init", ["normal", "zero_up"])
def test_training_starts_at_the_llm_only_if_asked_for(method: str, init: str) -> None:
    adapted = adapt(llm(), params(method, adapter_init=init))
    same = torch.allclose(read(adapted), read(llm()), atol=1e-6)
    assert same == (init == "zero_up")


def test_the_published_start_is_a_normal_distribution_of_002() -> None:
    adapted = adapt(llm(), params("mtsk-ss", lora_rank=16))
    weights = torch.cat([p.flatten() for n, p in adapted.named_parameters() if ".lora_" in n])
    assert weights.std().item() == pytest.approx(0.02, rel=0.05)
    assert abs(weights.mean().item()) < 1e-3


@pytest.mark.parametrize("method", ["mtsk-ss", "mome-ffn"])
@pytest.mark.parametrize(
    ("init_std", "expected"),
    [("llm", 0.02), ("width", 0.02 * 128**0.5), (0.5, 0.5)],  # 2,048 is 128 times the width of this LLM
)
def test_the_start_is_as_wide_as_asked_for(method: str, init_std: str | float, expected: float) -> None:
    adapted = adapt(llm(), params(method, init_std=init_std, lora_rank=16))
    drawn = [p.flatten() for p in adapted.parameters() if p.requires_grad and p.std() > 0]
    assert torch.cat(drawn).std().item() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("width", [64, 512, 2048])
def test_at_any_width_as_much_is_inside_an_expert(width: int) -> None:
    torch.manual_seed(0)
    inside = torch.randn(300, width) @ (torch.randn(width, 50) * width_std(width))
    assert inside.std().item() == pytest.approx(0.02 * 2048**0.5, rel=0.03)
