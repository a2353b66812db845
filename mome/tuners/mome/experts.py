"""The experts: a routed and shared mixture of small feed-forward blocks."""

# Shape letters: B batch, T tokens, N = B·T, D token width, E routed experts, M all experts (routed,
# then shared), W bottleneck width, K experts per token, S scales or shared experts, V = S·W, R rows,
# P chosen positions of N.

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mome.tuners.mome.config import MomeConfig
from mome.tuners.mome.fused import Weights, can_fuse, mix
from mome.tuners.mome.gathered import add_gathered, best_way, read_few
from mome.tuners.mome.router import Router, Routing

__all__ = ["Experts"]

_EIGHT = 8  # rows
_INIT_STD = 0.02  # as transformers has it for a model that says nothing else


class Experts(nn.Module):
    """A routed and shared mixture of bottleneck experts, ``up(GELU(down(x)))`` with biases.

    An expert is only a few columns wide, so all of them are two dense products: the columns of
    experts that a token did not choose are multiplied by zero. That is the same sum as a loop over
    experts, without its hundreds of small kernels. Where they take longer than what they save, only
    the chosen experts are read (`mome.tuners.mome.gathered`).

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
        self._top_k_S: Tensor | None = None  # the list, on the device of the last pass
        self.routing: Routing | None = None  # of the last pass, for the balance loss and for statistics
        self.reset_parameters(config)

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.up_bias_MD.dtype

    def reset_parameters(self, config: MomeConfig) -> None:
        """Draw the initial weights; biases are zero."""
        std = _INIT_STD if config.init_std is None else config.init_std
        nn.init.normal_(self.down_weight_MWD, std=std)
        nn.init.normal_(self.router.gate.weight, std=std)
        nn.init.normal_(self.up_weight_MWD, std=std if config.init == "normal" else 0.0)

    def forward(
        self, x_BTD: Tensor, scales_B: Tensor | None = None, wanted_P: Tensor | None = None
    ) -> Tensor:
        """Return the mixture's output, same shape as the tokens ``(B, T, D)``.

        Args:
            x_BTD: Tokens.
            scales_B: Index into the list of ``top_k`` for each sequence; None takes the first.
            wanted_P: Places in the flattened tokens; all are routed, and the output of these is returned,
                as ``(P, D)``.

        Raises:
            ValueError: If there are scales for another number of sequences.
        """
        x_ND = x_BTD.reshape(-1, x_BTD.shape[-1])
        top_k_N = self._top_k(x_BTD, scales_B)
        if wanted_P is None and can_fuse(x_ND):
            return self._fused(x_ND, top_k_N).view_as(x_BTD)
        read_PD = x_ND if wanted_P is None else x_ND.index_select(0, wanted_P)
        way = best_way(read_PD, self.up_weight_MWD)
        shared_NV: Tensor | None = None
        if way == "many":
            logits_NE, shared_NV = self._meet_all(x_ND)
            routing = self.router.route(logits_NE, x_ND.dtype, top_k_N)
        else:
            routing = self.router(x_ND, top_k_N)
        self.routing = routing
        ids_PK, weights_PK = routing.expert_ids_NK, routing.weights_NK
        if wanted_P is not None:
            ids_PK, weights_PK = ids_PK.index_select(0, wanted_P), weights_PK.index_select(0, wanted_P)
            shared_NV = None if shared_NV is None else shared_NV.index_select(0, wanted_P)
        if shared_NV is not None:
            out_PD = self._gathered(read_PD, shared_NV, ids_PK, weights_PK)
        elif way == "few":
            out_PD = self._few(read_PD, ids_PK, weights_PK)
        else:
            out_PD = self._dense(read_PD, self._gates(read_PD, ids_PK, weights_PK))
        return out_PD if wanted_P is not None else out_PD.view_as(x_BTD)

    def _fused(self, x_ND: Tensor, top_k_N: Tensor | None) -> Tensor:
        """Return the output for tokens ``(N, D)`` on a GPU, by kernels of its own."""
        weights = Weights(
            self.router.gate.weight, self.down_weight_MWD, self.down_bias_MW, self.up_weight_MWD,
            self.up_bias_MD,
        )  # fmt: skip
        if torch.is_autocast_enabled(x_ND.device.type):
            dtype = torch.get_autocast_dtype(x_ND.device.type)
            x_ND, weights = x_ND.to(dtype), Weights(*(each.to(dtype) for each in weights))
        mixed = mix(x_ND, weights, self.router.top_k, top_k_N)
        is_kept_NK = None if top_k_N is None else self.router.is_kept(top_k_N)
        self.routing = Routing(mixed.scores_NE, mixed.weights_NK, mixed.ids_NK, is_kept_NK)
        return mixed.out_ND

    def _dense(self, x_ND: Tensor, gates_NM: Tensor) -> Tensor:
        """Return the output for tokens ``(N, D)`` by way of all experts."""
        inside_NMW = nn.functional.linear(
            x_ND, self.down_weight_MWD.flatten(0, 1), self.down_bias_MW.flatten()
        )
        inside_NMW = (
            nn.functional.gelu(inside_NMW).unflatten(1, self.down_bias_MW.shape) * gates_NM[:, :, None]
        )
        out_ND = inside_NMW.flatten(1) @ self.up_weight_MWD.flatten(0, 1)
        # In place: a sum of two products would go through all of the output once more. Mixed precision
        # leaves what works in place alone, so that the digits are chosen here.
        return out_ND.addmm_(gates_NM.to(out_ND.dtype), self.up_bias_MD.to(out_ND.dtype))

    def _few(self, x_ND: Tensor, ids_NK: Tensor, weights_NK: Tensor) -> Tensor:
        """Return the output for a few tokens ``(N, D)``, by way of what each has chosen."""
        ids_NK, weights_NK = self._with_shared(ids_NK, weights_NK)
        down = self.down_weight_MWD, self.down_bias_MW
        return read_few(x_ND, ids_NK, weights_NK, *down, self.up_weight_MWD, self.up_bias_MD)

    def _meet_all(self, x_ND: Tensor) -> tuple[Tensor, Tensor]:
        """Return what every token meets: logits ``(N, E)`` and the inside of shared experts ``(N, V)``."""
        _, shared_SWD = self._by_kind(self.down_weight_MWD)
        _, bias_SW = self._by_kind(self.down_bias_MW)
        counts = self.num_experts, bias_SW.numel()
        # A processor's library takes as long for 32 rows as for 31, or even for 23.
        none_RD = x_ND.new_zeros(-sum(counts) % _EIGHT, x_ND.shape[1])
        rows_RD = torch.cat([self.router.gate.weight, shared_SWD.flatten(0, 1), none_RD])
        logits_NE, inside_NV, _ = nn.functional.linear(x_ND, rows_RD).split([*counts, len(none_RD)], 1)
        return logits_NE, nn.functional.gelu(inside_NV + bias_SW.flatten())

    def _gathered(self, x_ND: Tensor, shared_NV: Tensor, ids_NK: Tensor, weights_NK: Tensor) -> Tensor:
        """Return the output for many tokens ``(N, D)``, by way of what each has chosen."""
        down_EWD, _ = self._by_kind(self.down_weight_MWD)
        down_bias_EW, _ = self._by_kind(self.down_bias_MW)
        up_EWD, shared_SWD = self._by_kind(self.up_weight_MWD)
        # The last biases are a product anyhow, which takes hardly longer with the shared experts in it.
        factors_NR = torch.cat([self._gates(x_ND, ids_NK, weights_NK), shared_NV], 1)
        sum_ND = factors_NR @ torch.cat([self.up_bias_MD, shared_SWD.flatten(0, 1)])
        return add_gathered(sum_ND, x_ND, ids_NK, weights_NK, down_EWD, down_bias_EW, up_EWD)

    def _by_kind(self, weight_M: Tensor) -> tuple[Tensor, ...]:
        """Split weights of all experts into those of the routed and of the shared ones."""
        return weight_M.split([self.num_experts, self.num_shared_experts])

    def _top_k(self, x_BTD: Tensor, scales_B: Tensor | None) -> Tensor | None:
        """Return how many experts each token keeps ``(N,)``, or None when all keep the same number."""
        if len(set(self.top_k)) == 1:
            return None
        if self._top_k_S is None or self._top_k_S.device != x_BTD.device:
            # Kept, for a captured pass cannot copy a list to its device.
            self._top_k_S = torch.tensor(self.top_k, device=x_BTD.device)
        top_k_B = self._top_k_S[:1] if scales_B is None else self._top_k_S[scales_B.to(x_BTD.device)]
        # Beam search makes several neighbouring sequences of one, and one index may stand for all.
        copies, odd = divmod(len(x_BTD), len(top_k_B))
        if odd:
            raise ValueError(
                f"scales were selected for {len(top_k_B)} sequences, but the pass has {len(x_BTD)}: "
                "call select_scales before it"
            )
        return top_k_B.repeat_interleave(copies * x_BTD.shape[1])

    def _gates(self, x_ND: Tensor, ids_NK: Tensor, weights_NK: Tensor) -> Tensor:
        """Return the weight of every expert ``(N, M)``: zero if not chosen, one if shared."""
        gates_NM = x_ND.new_zeros(len(x_ND), self.num_experts + self.num_shared_experts)
        gates_NM[:, self.num_experts :] = 1
        return gates_NM.scatter_(1, ids_NK, weights_NK)

    def _with_shared(self, ids_NK: Tensor, weights_NK: Tensor) -> tuple[Tensor, Tensor]:
        """Return chosen experts and their weights with the shared ones behind them."""
        shared_S = torch.arange(self.num_experts, self.num_experts + self.num_shared_experts)
        ones_NS = weights_NK.new_ones(len(weights_NK), self.num_shared_experts)
        return torch.cat([ids_NK, shared_S.expand_as(ones_NS)], 1), torch.cat([weights_NK, ones_NS], 1)

    def __getstate__(self) -> dict[str, Any]:
        # Copies and pickles start afresh; a tensor in the middle of a graph cannot be copied at all.
        return self.__dict__ | {"routing": None, "_top_k_S": None}
