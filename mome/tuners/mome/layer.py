"""The experts, and the peft layer that runs them beside a frozen module."""

# Shape letters: B batch, T tokens, N = B·T, D token width, E routed experts, M all experts (routed,
# then shared), W bottleneck width.

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from mome.tuners.mome.config import MomeConfig
from mome.tuners.mome.router import Router, Routing

__all__ = ["Experts", "MomeLayer"]


class Experts(nn.Module):
    """A routed and shared mixture of bottleneck experts, ``up(GELU(down(x)))`` with biases.

    An expert is only a few columns wide, so all of them are two dense products: the columns of
    experts that a token did not choose are multiplied by zero. That is the same sum as a loop over
    experts, without its hundreds of small kernels.

    Args:
        d_model: Width of a token, ``D``.
        config: Sizes and initialisation.
    """

    def __init__(self, d_model: int, config: MomeConfig) -> None:
        super().__init__()
        self.num_experts = config.num_experts
        self.num_shared_experts = config.num_shared_experts
        all_experts, width = config.num_experts + config.num_shared_experts, config.bottleneck_dim
        self.top_k = [config.top_k] if isinstance(config.top_k, int) else config.top_k
        self.router = Router(d_model, config.num_experts, max(self.top_k))
        self.down_weight_MWD = nn.Parameter(torch.empty(all_experts, width, d_model))
        self.down_bias_MW = nn.Parameter(torch.zeros(all_experts, width))
        self.up_weight_MWD = nn.Parameter(torch.empty(all_experts, width, d_model))
        self.up_bias_MD = nn.Parameter(torch.zeros(all_experts, d_model))
        self.routing: Routing | None = None  # of the last pass, for the balance loss and for statistics
        self.reset_parameters(config)

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.up_bias_MD.dtype

    def reset_parameters(self, config: MomeConfig) -> None:
        """Draw the initial weights; biases are zero."""
        nn.init.normal_(self.down_weight_MWD, std=config.init_std)
        nn.init.normal_(self.router.gate.weight, std=config.init_std)
        nn.init.normal_(self.up_weight_MWD, std=config.init_std if config.init == "normal" else 0.0)

    def forward(self, x_BTD: Tensor, scales_B: Tensor | None = None) -> Tensor:
        """Return the mixture's output, same shape as the tokens ``(B, T, D)``.

        Args:
            x_BTD: Tokens.
            scales_B: Index into the list of ``top_k`` for each sequence; None takes the first.
        """
        x_ND = x_BTD.reshape(-1, x_BTD.shape[-1])
        self.routing = self.router(x_ND, self._top_k(x_BTD, scales_B))
        gates_NM = self._gates(self.routing, x_ND)
        inside_NMW = nn.functional.linear(
            x_ND, self.down_weight_MWD.flatten(0, 1), self.down_bias_MW.flatten()
        )
        inside_NMW = (
            nn.functional.gelu(inside_NMW).unflatten(1, self.down_bias_MW.shape) * gates_NM[:, :, None]
        )
        out_ND = inside_NMW.flatten(1) @ self.up_weight_MWD.flatten(0, 1)
        # In place: a sum of two products would go through all of the output once more. Mixed precision
        # leaves what works in place alone, so that the digits are chosen here.
        out_ND = out_ND.addmm_(gates_NM.to(out_ND.dtype), self.up_bias_MD.to(out_ND.dtype))
        return out_ND.view_as(x_BTD)

    def _top_k(self, x_BTD: Tensor, scales_B: Tensor | None) -> Tensor | None:
        """Return how many experts each token keeps ``(N,)``, or None when all keep the same number."""
        if len(set(self.top_k)) == 1:
            return None
        top_k_S = torch.tensor(self.top_k, device=x_BTD.device)
        top_k_B = top_k_S[:1] if scales_B is None else top_k_S[scales_B.to(x_BTD.device)]
        # Beam search makes several neighbouring sequences of one, and one index may stand for all.
        return top_k_B.repeat_interleave(x_BTD.shape[0] // len(top_k_B) * x_BTD.shape[1])

    def _gates(self, routing: Routing, x_ND: Tensor) -> Tensor:
        """Return the weight of every expert ``(N, M)``: zero if not chosen, one if shared."""
        gates_NM = x_ND.new_zeros(len(x_ND), self.num_experts + self.num_shared_experts)
        gates_NM[:, self.num_experts :] = 1
        return gates_NM.scatter(1, routing.expert_ids_NK, routing.weights_NK)


class MomeLayer(nn.Module, BaseTunerLayer):
    """A frozen module of the LLM with experts beside it: ``y = module(x) + experts(norm(x))``.

    Beside attention or the feed-forward block the input is normalised already; beside a whole
    decoder layer the layer's own ``input_layernorm`` is applied first (MoME, figure 2).
    """

    adapter_layer_names = ("mome_experts",)

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: MomeConfig, d_model: int) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.d_model = d_model
        self.mome_experts = nn.ModuleDict()
        self._active_adapter = adapter_name
        self.scales_B: Tensor | None = None  # of the sequences of the next pass
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: MomeConfig) -> None:
        """Add one more named adapter."""
        self.mome_experts[adapter_name] = Experts(self.d_model, config)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the frozen module and add the active experts' output to its hidden states."""
        result = self.base_layer(*args, **kwargs)
        if self.disable_adapters:
            return result
        hidden_states = args[0] if args else kwargs["hidden_states"]
        norm = getattr(self.base_layer, "input_layernorm", None)
        tokens_BTD = hidden_states if norm is None else norm(hidden_states)
        hidden = result[0] if isinstance(result, tuple) else result
        for name in self.active_adapters:
            if name in self.mome_experts:
                hidden = hidden + self._added(name, tokens_BTD, hidden.dtype)
        return (hidden, *result[1:]) if isinstance(result, tuple) else hidden

    def _added(self, name: str, tokens_BTD: Tensor, dtype: torch.dtype) -> Tensor:
        """Return what one adapter adds to hidden states of ``dtype``, which may have fewer digits."""
        experts = self.mome_experts[name]
        assert isinstance(experts, Experts)  # a ModuleDict forgets it
        if not torch.is_autocast_enabled(tokens_BTD.device.type):
            tokens_BTD = self._cast_input_dtype(tokens_BTD, experts.dtype)
        added_BTD: Tensor = experts(tokens_BTD, self.scales_B)
        # A sum with float32 hidden states widens by itself, without a copy.
        return added_BTD if dtype == torch.float32 else added_BTD.to(dtype)
