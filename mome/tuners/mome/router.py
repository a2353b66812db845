"""Token-choice top-k router, one for all scales, and the loss that keeps its experts in use."""

# Shape letters: N tokens, D token width, E routed experts, K experts per token.

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Router", "Routing", "load_balancing_loss"]


class Routing(NamedTuple):
    """Where tokens went: all probabilities, the kept weights (they sum to one), the kept experts.

    A token that keeps fewer experts than others of its pass has weight zero in the slots that it lacks.
    """

    scores_NE: Tensor
    weights_NK: Tensor
    expert_ids_NK: Tensor


class Router(nn.Module):
    """Score every expert for every token and keep the best ``top_k``.

    Nothing in here knows the scale: a token is routed by its content alone, whatever number of
    frames was pooled into it. That is what lets the scales share experts (MoME, section 3).

    Args:
        d_model: Width of a token, ``D``.
        num_experts: Number of routed experts, ``E``.
        top_k: Experts kept per token, ``K``; the most that any token keeps.
    """

    def __init__(self, d_model: int, num_experts: int, top_k: int) -> None:
        super().__init__()
        self.top_k = top_k
        self.gate = nn.Linear(d_model, num_experts, bias=False)

    def forward(self, x_ND: Tensor, top_k_N: Tensor | None = None) -> Routing:
        """Route tokens ``(N, D)``, each to ``top_k`` experts or to as many as ``top_k_N`` says."""
        return self.route(self.gate(x_ND), x_ND.dtype, top_k_N)

    def route(self, logits_NE: Tensor, dtype: torch.dtype, top_k_N: Tensor | None = None) -> Routing:
        """Route by logits ``(N, E)``; the weights are of ``dtype``."""
        # float32: in bfloat16 close scores tie, and top-k then depends on the hardware.
        scores_NE = logits_NE.float().softmax(dim=-1)
        weights_NK, expert_ids_NK = scores_NE.topk(self.top_k, dim=-1)
        if top_k_N is not None:
            slots_K = torch.arange(self.top_k, device=scores_NE.device)
            weights_NK = weights_NK * (slots_K < top_k_N[:, None])
        weights_NK = weights_NK / weights_NK.sum(dim=-1, keepdim=True)
        return Routing(scores_NE, weights_NK.to(dtype), expert_ids_NK)


def load_balancing_loss(routings: Sequence[Routing], counts_N: Tensor) -> Tensor:
    """Return ``E · Σ_slots Σ_experts f·P`` over all layers together; ``top_k`` when perfectly balanced.

    ``f`` is the share of tokens whose slot chose the expert, ``P`` its mean probability (Switch
    Transformer form, as in the published MoME code).

    Args:
        routings: One per layer, each over the same ``N`` positions.
        counts_N: How often each position counts: 0 for padding, 1 for a token, or True and False.
    """
    num_experts = routings[0].scores_NE.shape[-1]
    share_N = counts_N.float() / (counts_N.sum() * len(routings))
    # The number of tokens that chose an expert is the number of its slots: the sum over slots of f·P
    # needs no slot of its own.
    share_E = share_N.new_zeros(num_experts)
    scores_E = share_N.new_zeros(num_experts)
    for routing in routings:
        kept_NK = share_N[:, None] * (routing.weights_NK > 0)
        share_E = share_E.index_add(0, routing.expert_ids_NK.flatten(), kept_NK.flatten().detach())
        scores_E = scores_E + share_N @ routing.scores_NE
    return num_experts * (share_E * scores_E).sum()
