"""Adapters come back as they were saved, or not at all."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor

from mome.errors import CheckpointError
from mome.training.adapters import load_adapters, save_adapters
from mome.tuners.mome import MomeConfig
from tests.small_llms import small_llm

IDS = torch.arange(7)[None]
Damage = Callable[[dict[str, Tensor]], None]


def adapters(kind: str) -> PeftConfig:
    if kind == "mome":
        return MomeConfig(num_experts=5, top_k=2, init_std=0.3, task_type="CAUSAL_LM")
    return LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM")


@pytest.mark.parametrize("kind", ["mome", "lora"])
def test_several_adapters_come_back_as_they_were(tmp_path: Path, kind: str) -> None:
    tuned = get_peft_model(small_llm(), adapters(kind), adapter_name="a4v2").eval()
    tuned.add_adapter("a16v5", adapters(kind))
    save_adapters(tuned, "foundation/llm", tmp_path)
    again = load_adapters(small_llm(), tmp_path, ["a4v2", "a16v5"]).eval()
    logits = []
    for name in ("a4v2", "a16v5"):
        tuned.set_adapter(name)
        again.set_adapter(name)
        logits.append(tuned(input_ids=IDS).logits)
        torch.testing.assert_close(again(input_ids=IDS).logits, logits[-1], atol=0, rtol=0)
    assert not torch.allclose(*logits)


def lose(tensors: dict[str, Tensor]) -> None:
    del tensors[min(tensors)]


def gain(tensors: dict[str, Tensor]) -> None:
    tensors["base_model.model.more.weight"] = torch.zeros(2)


def rename(tensors: dict[str, Tensor]) -> None:
    tensors["x" + min(tensors)] = tensors.pop(min(tensors))


def reshape(tensors: dict[str, Tensor]) -> None:
    tensors[min(tensors)] = torch.zeros(3, 5)


def round_off(tensors: dict[str, Tensor]) -> None:
    tensors[min(tensors)] = tensors[min(tensors)].long()


@pytest.mark.parametrize("kind", ["mome", "lora"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lose, r"lacks 1 tensors, .*layers\.0"),
        (gain, r"has, beyond what is read, 1 tensors, .*more\.weight"),
        (rename, r"lacks 1 tensors"),
        (reshape, r"is \(3, 5\), but beside this model it is \("),
        (round_off, "torch.int64"),
    ],
)
def test_other_tensors_than_the_adapter_has_are_refused(
    tmp_path: Path, kind: str, damage: Damage, message: str
) -> None:
    save_adapters(get_peft_model(small_llm(), adapters(kind)), "foundation/llm", tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    tensors = load_file(file)
    damage(tensors)
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match=message) as error:
        load_adapters(small_llm(), tmp_path)
    assert str(file) in str(error.value)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_file_that_is_cut_off_or_gone_is_refused(tmp_path: Path, name: str) -> None:
    save_adapters(get_peft_model(small_llm(), adapters("mome")), "foundation/llm", tmp_path)
    file = tmp_path / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(CheckpointError, match="not an adapter"):
        load_adapters(small_llm(), tmp_path)
    file.unlink()
    with pytest.raises(CheckpointError, match=f"expected {name}"):
        load_adapters(small_llm(), tmp_path)


def test_an_adapter_for_another_width_names_both(tmp_path: Path) -> None:
    save_adapters(get_peft_model(small_llm(), adapters("mome")), "foundation/llm", tmp_path)
    with pytest.raises(CheckpointError, match=r"32\), but beside this model it is \(.*64\)"):
        load_adapters(small_llm(hidden_size=64), tmp_path)
