"""MoME around a causal LLM: inserts the layers, and reads what their routers did."""

from __future__ import annotations

from typing import Any, ClassVar

from peft.tuners.tuners_utils import BaseTuner
from torch import Tensor, nn

from mome.tuners.mome.config import MomeConfig
from mome.tuners.mome.layer import Experts, MomeLayer
from mome.tuners.mome.router import Routing, load_balancing_loss

__all__ = ["MomeModel"]


class MomeModel(BaseTuner):  # type: ignore[misc]  # peft is untyped
    """A causal LLM with Mixture of Matryoshka Experts beside its layers.

    Made by ``peft.get_peft_model(llm, MomeConfig(...))``. The LLM is frozen; experts and routers train.

    Source: MoME, arXiv:2510.04136.
    """

    prefix = "mome_"
    tuner_layer_cls = MomeLayer
    target_module_mapping: ClassVar[
        dict[str, str]
    ] = {}  # the targets follow from the position, for every model

    def _create_and_replace(
        self,
        config: MomeConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        **_: Any,
    ) -> None:
        if isinstance(target, MomeLayer):
            target.update_layer(adapter_name, config)
            return
        layer = MomeLayer(target, adapter_name, config, d_model=self.model.config.hidden_size)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        setattr(parent, target_name, layer)

    def routings(self) -> list[Routing]:
        """Return what each layer's router did in the last pass, from the first layer to the last."""
        experts = (module for module in self.modules() if isinstance(module, Experts))
        return [module.routing for module in experts if module.routing is not None]

    def load_balancing_loss(self, attention_mask: Tensor) -> Tensor:
        """Return the balance loss of the last pass over the positions that are not padding ``(B, T)``."""
        return load_balancing_loss(self.routings(), attention_mask.flatten().bool())
