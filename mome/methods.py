"""The fine-tuning methods of the comparison, by name: what each adds to frozen models, and how it trains.

| name            | beside the LLM                    | projectors | trained for            | source     |
|-----------------|-----------------------------------|------------|------------------------|------------|
| mome-mhsa       | experts beside attention          | per rate   | all scales             | MoME       |
| mome-ffn        | experts beside the feed-forward   | per rate   | all scales             | MoME       |
| mome-layer      | experts beside the whole layer    | per rate   | all scales             | MoME       |
| mome-mhsa-i     | experts beside attention          | one        | one scale              | MoME       |
| llama-avsr      | LoRA                              | one        | one scale              | Llama-AVSR |
| mtsk-ms         | LoRA, shared                      | per rate   | all scales             | Llama-MTSK |
| mtsk-ss         | LoRA per scale                    | per rate   | all scales             | Llama-MTSK |
| mtsk-mss        | LoRA, shared and per scale        | per rate   | all scales             | Llama-MTSK |
| llama-smop-dedr | LoRA                              | mixtures   | one scale              | Llama-SMoP |
| llama-smop-jedr | LoRA                              | mixtures   | one scale              | Llama-SMoP |
| llama-smop-jejr | LoRA                              | mixtures   | one scale              | Llama-SMoP |
| omni-s          | LoRA, shared                      | per rate   | a sampled scale a step | Omni-AVSR  |
| omni-t          | LoRA per task                     | per rate   | a sampled scale a step | Omni-AVSR  |
| omni-st         | LoRA, shared and per task         | per rate   | a sampled scale a step | Omni-AVSR  |
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mome.records import Modality
from mome.scales import Scale

__all__ = ["METHODS", "Method", "MethodName", "Mixture", "Position"]

MethodName = Literal[
    "mome-mhsa", "mome-ffn", "mome-layer", "mome-mhsa-i",
    "llama-avsr", "mtsk-ms", "mtsk-ss", "mtsk-mss",
    "llama-smop-dedr", "llama-smop-jedr", "llama-smop-jejr",
    "omni-s", "omni-t", "omni-st",
]  # fmt: skip

Position = Literal["mhsa", "ffn", "layer"]
Mixture = Literal["dedr", "jedr", "jejr"]  # disjoint or joint experts, disjoint or joint routers

_SHARED = "shared"


@dataclass(frozen=True)
class Method:
    """How a method differs from the others.

    Args:
        experts: Where MoME's experts stand; None means LoRA.
        lora: Which LoRA adapters there are, summed in each task: one shared, one per scale, one per task.
        projectors: Sparse mixture of projectors instead of plain ones.
        one_scale: Trained for one scale only.
        sampled: Each step trains one scale, drawn at random, instead of all.
    """

    experts: Position | None = None
    lora: tuple[Literal["shared", "scale", "task"], ...] = ()
    projectors: Mixture | None = None
    one_scale: bool = False
    sampled: bool = False

    def adapters(self, modality: Modality, scale: Scale) -> tuple[str, ...]:
        """Return the names of the LoRA adapters that read a modality at a scale; none for MoME."""
        names = {"shared": _SHARED, "scale": _rates(modality, scale), "task": modality}
        return tuple(names[kind] for kind in self.lora)

    def all_adapters(self, modalities: Iterable[Modality], scales: Iterable[Scale]) -> tuple[str, ...]:
        """Return every adapter that some modality needs at some scale, each once."""
        pairs = [(modality, scale) for modality in modalities for scale in scales]
        return tuple(dict.fromkeys(name for pair in pairs for name in self.adapters(*pair)))


def _rates(modality: Modality, scale: Scale) -> str:
    """Return what of a scale a modality uses: the video rate is nothing to sound alone."""
    return {"audio": f"a{scale.audio_rate}", "video": f"v{scale.video_rate}", "av": str(scale)}[modality]


METHODS: dict[MethodName, Method] = {
    "mome-mhsa": Method(experts="mhsa"),
    "mome-ffn": Method(experts="ffn"),
    "mome-layer": Method(experts="layer"),
    "mome-mhsa-i": Method(experts="mhsa", one_scale=True),
    "llama-avsr": Method(lora=("shared",), one_scale=True),
    "mtsk-ms": Method(lora=("shared",)),
    "mtsk-ss": Method(lora=("scale",)),
    "mtsk-mss": Method(lora=("shared", "scale")),
    "llama-smop-dedr": Method(lora=("shared",), projectors="dedr", one_scale=True),
    "llama-smop-jedr": Method(lora=("shared",), projectors="jedr", one_scale=True),
    "llama-smop-jejr": Method(lora=("shared",), projectors="jejr", one_scale=True),
    "omni-s": Method(lora=("shared",), sampled=True),
    "omni-t": Method(lora=("task",), sampled=True),
    "omni-st": Method(lora=("shared", "task"), sampled=True),
}
