"""The peft layer that runs experts beside a frozen module."""

# Shape letters: B batch, T tokens, D token width, P chosen positions of the flattened B·T.

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from mome.methods import Position
from mome.tuners.mome.config import MomeConfig
from mome.tuners.mome.experts import Experts

__all__ = ["CANNOT_MERGE", "MomeLayer"]

CANNOT_MERGE = (
    "MoME cannot be merged: which experts run depends on the token, so no fixed weights say the same; "
    "unload() returns the model without it"
)


class MomeLayer(nn.Module, BaseTunerLayer):
    """A frozen module of the LLM with experts beside it.

    ======== ============= ================================== =========================
    position module        the experts read                   their output is added to
    ======== ============= ================================== =========================
    mhsa     ``self_attn`` the module's own input             the module's own output
    ffn      ``mlp``       the module's own input             the module's own output
    layer    ``mlp``       what ``input_layernorm`` returned  the module's own output
    ======== ============= ================================== =========================

    After ``mlp`` the decoder layer adds nothing but its residual stream, so that experts beside the whole
    layer, ``h + Attn(norm(h)) + MLP(...) + MoME(norm(h))``, are experts beside its last block that read
    what the first one reads (MoME, figure 2; model facts 4.3). The norm then runs once, and what
    transformers records or checkpoints of a decoder layer has the experts in it.

    Args:
        base_layer: The frozen module.
        adapter_name: Of the first adapter.
        config: Of the first adapter.
        d_model: Width of a token, ``D``.
        input_layernorm: Of the decoder layer around the module, if it has one.
    """

    adapter_layer_names = ("mome_experts",)

    def __init__(
        self,
        base_layer: nn.Module,
        adapter_name: str,
        config: MomeConfig,
        d_model: int,
        input_layernorm: nn.Module | None,
    ) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.d_model = d_model
        self.mome_experts = nn.ModuleDict()
        self.cast_input_dtype_enabled = True
        self.scales_B: Tensor | None = None  # of the sequences of the next pass
        self.wanted_P: Tensor | None = None  # where hidden states are read after this layer; None: everywhere
        self._active_adapter = adapter_name
        self._positions: dict[str, Position] = {}
        # By thread, for several may read with one model; taken away as soon as it was used.
        self._normed_BTD: dict[int, Tensor] = {}
        # In no attribute of its own, where it would be a module, and its weights saved, a second time.
        self._norm_hook = (
            None if input_layernorm is None else input_layernorm.register_forward_hook(self._keep)
        )
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: MomeConfig) -> None:
        """Add one more named adapter.

        Raises:
            ValueError: If it is to run beside a layer without ``input_layernorm``.
        """
        if config.position == "layer" and self._norm_hook is None:
            raise ValueError(
                "position 'layer' reads what input_layernorm returns, and there is none beside the "
                f"{type(self.base_layer).__name__} that target_modules {config.target_modules!r} names"
            )
        self.mome_experts[adapter_name] = Experts(self.d_model, config)
        self._positions[adapter_name] = config.position
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters)

    def active_experts(self) -> Iterator[tuple[str, Experts]]:
        """Yield name and experts of every adapter that takes part in a pass."""
        if self.disable_adapters:
            return
        for name in self.active_adapters:
            if name in self.mome_experts:
                experts = self.mome_experts[name]
                assert isinstance(experts, Experts)  # a ModuleDict forgets it
                yield name, experts

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the frozen module and add the active experts' output to its hidden states."""
        normed_BTD = self._normed_BTD.pop(_thread(), None)
        own_BTD = args[0] if args else kwargs["hidden_states"]
        if self.wanted_P is not None:
            return self._forward_wanted(own_BTD, normed_BTD, self.wanted_P)
        result = self.base_layer(*args, **kwargs)
        hidden = result[0] if isinstance(result, tuple) else result
        hidden = self._add(hidden, own_BTD, normed_BTD)
        return (hidden, *result[1:]) if isinstance(result, tuple) else hidden

    @property
    def ends_a_layer(self) -> bool:
        """Whether nothing but the residual stream comes after it in a decoder layer."""
        return self._norm_hook is not None

    def release(self) -> nn.Module:
        """Return the frozen module; nothing of this layer is left behind."""
        if self._norm_hook is not None:
            self._norm_hook.remove()
        return self.base_layer

    def merge(self, *_: object, **__: object) -> None:
        """Refuse, for good: nothing is left to be written here."""
        raise NotImplementedError(CANNOT_MERGE)  # the type that peft's callers expect of such a method

    unmerge = merge

    def _keep(self, _norm: nn.Module, _inputs: object, normed_BTD: Tensor) -> None:
        if any(self._positions[name] == "layer" for name, _ in self.active_experts()):
            self._normed_BTD[_thread()] = normed_BTD

    def _forward_wanted(self, own_BTD: Tensor, normed_BTD: Tensor | None, wanted_P: Tensor) -> Tensor:
        """Return ``(B, T, D)``, right where it is wanted and zero elsewhere."""
        own_ND = own_BTD.flatten(0, 1)
        hidden_PD = self.base_layer(own_ND.index_select(0, wanted_P)[None])[0]
        hidden_PD = self._add(hidden_PD, own_BTD, normed_BTD)
        return hidden_PD.new_zeros(own_ND.shape).index_copy(0, wanted_P, hidden_PD).view_as(own_BTD)

    def _add(self, hidden: Tensor, own_BTD: Tensor, normed_BTD: Tensor | None) -> Tensor:
        """Add what the active adapters say, where it is wanted, to hidden states."""
        for name, experts in self.active_experts():
            tokens_BTD = normed_BTD if self._positions[name] == "layer" else own_BTD
            assert tokens_BTD is not None  # the norm of the layer has run
            if not torch.is_autocast_enabled(tokens_BTD.device.type):
                tokens_BTD = self._cast_input_dtype(tokens_BTD, experts.dtype)
            added = experts(tokens_BTD, self.scales_B, self.wanted_P)
            # A sum with float32 hidden states widens by itself, without a copy.
            hidden = hidden + (added if hidden.dtype == torch.float32 else added.to(hidden.dtype))
        return hidden

    def _get_base_layer_device_and_dtype(
        self, base_layer: nn.Module
    ) -> tuple[torch.device | None, torch.dtype | None]:
        # peft looks for a weight, which a block of several modules has not.
        first = next(base_layer.parameters(), None)
        return (None, None) if first is None else (first.device, first.dtype)

    def __getstate__(self) -> dict[str, Any]:
        # Copies and pickles start afresh; a tensor in the middle of a graph cannot be copied at all.
        return self.__dict__ | {"_normed_BTD": {}}


def _thread() -> int:
    # torch.compile cannot trace the question, and what it compiles runs in one thread.
    return 0 if torch.compiler.is_compiling() else threading.get_ident()
