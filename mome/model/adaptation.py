"""Puts a method's adapters on a frozen LLM, through peft: MoME, or LoRA, one or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peft import LoraConfig, PeftConfig, get_peft_model
from torch import nn

from mome.config import TrainParams
from mome.errors import ConfigError
from mome.methods import METHODS
from mome.scales import Scale
from mome.tuners.mome import MomeConfig

__all__ = ["adapt", "adapter_names", "select_adapters", "width_std"]

# A pattern, not a list: peft keeps a list as a set, and writes it in another order every time.
_QUERY_AND_VALUE = r".*\.self_attn\.(q_proj|v_proj)"
_ONLY = "default"  # peft's name for an adapter that has no other beside it
_PUBLISHED_STD, _PUBLISHED_WIDTH = 0.02, 2048  # of Llama-3.2-1B (model facts 4.6)


def width_std(width: int) -> float:
    """Return a start for an LLM of this width that puts as much inside an expert as the published one does.

    What a matrix makes of a token has a standard deviation of ``std * sqrt(width)``: 0.02 at 2,048 is 0.08
    at 128.
    """
    return _PUBLISHED_STD * (_PUBLISHED_WIDTH / width) ** 0.5


def adapter_names(params: TrainParams) -> tuple[str, ...]:
    """Return the names of all adapters that ``params.method`` trains."""
    method = METHODS[params.method]
    scales = [Scale.parse(text) for text in params.scales]
    return method.all_adapters(params.task_weights, scales) or (_ONLY,)


def adapt(llm: Any, params: TrainParams) -> Any:
    """Return the LLM with all adapters of ``params.method`` beside it, and nothing else left to train.

    Their weights are drawn from torch's generator: all of them with one standard deviation, as the published
    code effectively does (model facts 4.6), or with the last matrix zero, so that training starts at the
    LLM. The published deviation is the LLM's ``initializer_range``.
    """
    first, *others = adapter_names(params)
    std = _std(params, llm.config)
    config = _config(params, std)
    adapted = get_peft_model(llm, config, adapter_name=first)
    for name in others:
        adapted.add_adapter(name, _config(params, std))
    if METHODS[params.method].experts is None and params.adapter_init == "normal":
        for name, parameter in adapted.named_parameters():
            if ".lora_" in name:
                nn.init.normal_(parameter, std=std)
    select_adapters(adapted, adapter_names(params))
    return adapted


def select_adapters(adapted: Any, names: Sequence[str]) -> None:
    """Let these adapters take part in the next pass, summed, and no others; all of them keep training.

    Raises:
        ConfigError: If there is no adapter of such a name.
    """
    if list(names) == list(adapted.active_adapters):
        return
    # peft passes over a name that it does not know, and would read with the others, or with none.
    if unknown := [name for name in names if name not in adapted.peft_config]:
        raise ConfigError(
            f"no adapter {', '.join(unknown)} stands beside the LLM; "
            f"there are {', '.join(adapted.peft_config)}"
        )
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    adapted.base_model.set_adapter(list(names), inference_mode=not trained)
    # peft freezes what is not active; here an adapter that one task leaves out learns from another.
    for parameter in trained:
        parameter.requires_grad_(True)


def _std(params: TrainParams, llm: Any) -> float:
    if params.init_std == "llm":
        return float(llm.initializer_range)
    return width_std(llm.hidden_size) if params.init_std == "width" else params.init_std


def _config(params: TrainParams, std: float) -> PeftConfig:
    position = METHODS[params.method].experts
    if position is not None:
        return MomeConfig(
            num_experts=params.num_experts,
            top_k=_top_k(params),
            num_shared_experts=params.num_shared_experts,
            bottleneck_dim=params.bottleneck_dim,
            position=position,
            init=params.adapter_init,
            init_std=std,
            task_type="CAUSAL_LM",
        )
    return LoraConfig(
        r=params.lora_rank,
        # peft divides by the rank; the papers state the factor itself (model facts 5.1).
        lora_alpha=params.lora_scaling * params.lora_rank,  # type: ignore[arg-type]  # any number will do
        target_modules=_QUERY_AND_VALUE,
        task_type="CAUSAL_LM",
    )


def _top_k(params: TrainParams) -> int | list[int]:
    if isinstance(params.top_k, int):
        return params.top_k
    return [params.top_k[scale] for scale in params.scales]
