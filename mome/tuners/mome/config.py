"""Settings of MoME, saved beside its weights as ``adapter_config.json``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from peft import PeftConfig

from mome.methods import Position
from mome.tuners.registration import peft_type

__all__ = ["MomeConfig"]

# What a MoME module runs beside, by the names that Llama and Qwen2 share; `MomeLayer` says why experts
# beside a whole layer stand beside its last block.
_TARGETS: dict[Position, str] = {
    "mhsa": r"(.*\.)?layers\.\d+\.self_attn",
    "ffn": r"(.*\.)?layers\.\d+\.mlp",
    "layer": r"(.*\.)?layers\.\d+\.mlp",
}


@dataclass
class MomeConfig(PeftConfig):
    """Mixture of Matryoshka Experts beside every layer of a frozen LLM.

    Raises:
        ValueError: If ``top_k`` is not in ``1..num_experts``, a size is no whole number or below its
            minimum, or the position or initialisation is unknown.
    """

    num_experts: int = field(default=23, metadata={"help": "Routed experts."})
    top_k: int | list[int] = field(
        default=4,
        metadata={
            "help": "Routed experts kept per token; a list has one number per scale, by the index that "
            "`MomeModel.select_scales` is given."
        },
    )
    num_shared_experts: int = field(
        default=1, metadata={"help": "Experts that every token passes, outside the router."}
    )
    bottleneck_dim: int = field(default=8, metadata={"help": "Width inside an expert."})
    position: Position = field(
        default="layer", metadata={"help": "Parallel to 'mhsa', 'ffn' or the whole 'layer'."}
    )
    init: Literal["normal", "zero_up"] = field(
        default="normal",
        metadata={
            "help": "'normal': every matrix N(0, init_std²), as the published code effectively does; "
            "'zero_up': up matrices zero, so that training starts at the base model."
        },
    )
    init_std: float | None = field(
        default=None,
        metadata={
            "help": "Standard deviation of the initial weights; by default the LLM's `initializer_range`."
        },
    )
    target_modules: str | list[str] | None = field(
        default=None, metadata={"help": "Modules to run beside; by default those of `position`."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[no-untyped-call]  # peft lacks annotations here
        self.peft_type = peft_type("MOME")
        for name, least in (("num_experts", 1), ("bottleneck_dim", 1), ("num_shared_experts", 0)):
            if not _is_whole(size := getattr(self, name)) or size < least:
                raise ValueError(f"{name} is {size!r}, expected a whole number of at least {least}")
        every_k = self.top_k if isinstance(self.top_k, list) else [self.top_k]
        if not every_k or not all(_is_whole(k) and 1 <= k <= self.num_experts for k in every_k):
            raise ValueError(
                f"top_k is {self.top_k!r}, expected 1 to num_experts = {self.num_experts}, or a list of such"
            )
        if self.init_std is not None and not self.init_std >= 0:
            raise ValueError(f"init_std is {self.init_std}, expected 0 or more")
        if self.position not in _TARGETS:
            raise ValueError(f"position is {self.position!r}, expected one of {', '.join(_TARGETS)}")
        if self.init not in ("normal", "zero_up"):
            raise ValueError(f"init is {self.init!r}, expected normal or zero_up")
        if self.target_modules is None:
            self.target_modules = _TARGETS[self.position]


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
