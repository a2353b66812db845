"""MoME around a causal LLM: inserts the layers, and reads what their routers did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner
from torch import Tensor, nn

from mome.tuners.mome.config import MomeConfig
from mome.tuners.mome.experts import Experts
from mome.tuners.mome.layer import CANNOT_MERGE, MomeLayer
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

    def select_scales(self, scales_B: Tensor | None) -> None:
        """Say which scale each sequence of the coming passes is read at, where ``top_k`` differs.

        Args:
            scales_B: Index into the list of ``top_k`` per sequence ``(B,)``, or one for all ``(1,)``; None
                takes the first. It holds until the next call, through ``generate`` and its beams too.
        """
        if scales_B is not None:
            # Once, and not in every layer and step.
            scales_B = scales_B.to(next(self.parameters()).device)
        for layer in self._layers():
            layer.scales_B = scales_B

    @property
    def scales_B(self) -> Tensor | None:
        """What `select_scales` was given last, where the model computes."""
        first = next(self._layers(), None)
        return None if first is None else first.scales_B

    @contextmanager
    def finish_only(self, wanted_P: Tensor) -> Iterator[None]:
        """Let passes of the decoder end early where nobody reads on: only some finish its last block.

        A language model's loss reads hidden states where texts are predicted; all that other positions
        still owe it, keys and values of the last attention, is done before that block. Routers see
        all positions all the same. Hidden states of the last layer are wrong elsewhere.

        Nothing is skipped where layers are computed a second time, for that happens after this context, nor
        where no experts stand beside the last block.

        Args:
            wanted_P: Places in the flattened batch ``(B·T,)``, each once.
        """
        *_, last = self._layers()
        recomputed = any(getattr(module, "gradient_checkpointing", False) for module in self.model.modules())
        if recomputed or not last.ends_a_layer:
            yield
            return
        last.wanted_P = wanted_P
        try:
            yield
        finally:
            last.wanted_P = None

    def routings(self, adapter_name: str | None = None) -> list[Routing]:
        """Return what each layer's router did in the last pass, from the first layer to the last.

        Args:
            adapter_name: Of an active adapter; None stands for the only one, or all of them, layer by layer.

        Raises:
            ValueError: If no router of an active adapter has seen a pass.
        """
        found = [experts.routing for name, experts in self._experts() if adapter_name in (None, name)]
        routings = [routing for routing in found if routing is not None]
        if not routings or len(routings) != len(found):
            raise ValueError(
                "there is no routing to look at: no pass has gone through the experts of "
                + (f"adapter {adapter_name!r}" if adapter_name else "an active adapter")
            )
        return routings

    def load_balancing_loss(self, counts: Tensor) -> Tensor:
        """Return the balance loss of the last pass, summed over active adapters.

        Args:
            counts: How often each position counts ``(B, T)``, as an attention mask: 0 where there is padding.
                With one such mask per group of sequences ``(G, B, T)`` the groups' losses are averaged.

        Raises:
            ValueError: If there was no pass, it had other positions, or it left no gradient behind.
        """
        names = dict.fromkeys(name for name, _ in self._experts())
        routings = [self.routings(name) for name in names] or [self.routings()]
        positions, counted = len(routings[0][0].scores_NE), counts.shape[-2:].numel()
        if positions != counted:
            raise ValueError(f"the last pass had {positions} positions, the mask has {counted}")
        if self.training and torch.is_grad_enabled() and not routings[0][0].scores_NE.requires_grad:
            raise ValueError(
                "the last pass kept no gradient of the routers: it ran without, or under reentrant "
                "checkpointing; enable gradient checkpointing with use_reentrant=False"
            )
        losses = [load_balancing_loss(each, counts.flatten(-2)) for each in routings]
        return torch.stack(losses).sum()

    def _layers(self) -> Iterator[MomeLayer]:
        return (module for module in self.modules() if isinstance(module, MomeLayer))

    def _experts(self) -> Iterator[tuple[str, Experts]]:
        return (pair for layer in self._layers() for pair in layer.active_experts())

    def _prepare_adapter_config(self, peft_config: PeftConfig, model_config: dict[str, Any]) -> PeftConfig:
        assert isinstance(peft_config, MomeConfig)  # peft hands each tuner its own
        if peft_config.init_std is None:
            # Like every layer that a checkpoint lacks, as the published code starts (model facts 4.6).
            peft_config.init_std = model_config.get("initializer_range")
        return peft_config

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
        norm = getattr(parent, "input_layernorm", None)
        width = self.model.config.hidden_size
        layer = MomeLayer(target, adapter_name, peft_config, width, norm if target_name == "mlp" else None)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        setattr(parent, target_name, layer)

    def _replace_module(
        self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module
    ) -> None:
        # Only unload() comes here; peft's own would look for weights that a block of several modules has not.
        if isinstance(child, MomeLayer):
            child.release()
        setattr(parent, child_name, new_module)

    def _check_merge_allowed(self) -> None:
        # As the layers do, but before peft has begun to take the model apart.
        raise NotImplementedError(CANNOT_MERGE)

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        # A router lies deeper below the adapter's name than peft expects a weight to lie.
        return key.replace(f".mome_experts.{adapter_name}.", ".mome_experts.")
