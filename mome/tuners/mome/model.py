"""MoME around a causal LLM: inserts the layers, and reads what their routers did."""

from __future__ import annotations

from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner
from torch import Tensor, nn

from mome.tuners.mome.config import MomeConfig
from mome.tuners.mome.layer import Experts, MomeLayer
from mome.tuners.mome.router import Routing, load_balancing_loss

__all__ = ["MomeModel"]


class MomeModel(BaseTuner):
    """A causal LLM with Mixture of Matryoshka Experts beside its layers.

    Made by ``peft.get_peft_model(llm, MomeConfig(...))``. The LLM is frozen; experts and routers train.

    Source: MoME, arXiv:2510.04136.
    """

    prefix = "mome_"
    tuner_layer_cls = MomeLayer
    # The targets follow from the position, for every model.
    target_module_mapping: dict[str, list[str]] = {}  # noqa: RUF012  # an instance variable in peft

    def _create_and_replace(
        self,
        peft_config: PeftConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,  # noqa: ARG002  # both belong to peft's signature
        parameter_name: str | None = None,  # noqa: ARG002
    ) -> None:
        assert isinstance(peft_config, MomeConfig)  # peft hands each tuner its own
        if isinstance(target, MomeLayer):
            target.update_layer(adapter_name, peft_config)
            return
        layer = MomeLayer(target, adapter_name, peft_config, d_model=self.model.config.hidden_size)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        setattr(parent, target_name, layer)

    def select_scales(self, scales_B: Tensor | None) -> None:
        """Say which scale each sequence of the coming passes is read at, where ``top_k`` differs.

        Args:
            scales_B: Index into the list of ``top_k`` per sequence ``(B,)``, or one for all ``(1,)``; None
                takes the first. It holds until the next call, through ``generate`` and its beams too.
        """
        for module in self.modules():
            if isinstance(module, MomeLayer):
                module.scales_B = scales_B

    def routings(self) -> list[Routing]:
        """Return what each layer's router did in the last pass, from the first layer to the last."""
        experts = (module for module in self.modules() if isinstance(module, Experts))
        return [module.routing for module in experts if module.routing is not None]

    def load_balancing_loss(self, attention_mask: Tensor) -> Tensor:
        """Return the balance loss of the last pass.

        Args:
            attention_mask: How often each position counts ``(B, T)``; 0 where there is padding.
        """
        return load_balancing_loss(self.routings(), attention_mask.flatten())
