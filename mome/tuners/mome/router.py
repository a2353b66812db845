"""Token-choice top-k router, one for all scales, and the loss that keeps its experts in use."""

# Shape letters: N tokens, D token width, E routed experts, K experts per token, G groups of tokens.

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Router", "Routing", "load_balancing_loss"]


class Routing(NamedTuple):
    """Where tokens went: all probabilities, the kept weights (they sum to one), the kept experts.

    A token that keeps fewer experts than others of its pass has weight zero in the slots that it lacks.
    ``is_kept_NK`` tells those from experts whose weight rounds to zero; None means that all are kept.
    """

    scores_NE: Tensor
    weights_NK: Tensor
    expert_ids_NK: Tensor
    is_kept_NK: Tensor | None = None

    @property
    def chosen_NE(self) -> Tensor:
        """1 where a token keeps an expert, 0 elsewhere."""
        none_NE = torch.zeros_like(self.scores_NE, requires_grad=False)
        if self.is_kept_NK is None:
            return none_NE.scatter_(1, self.expert_ids_NK, 1)
        return none_NE.scatter_(1, self.expert_ids_NK, self.is_kept_NK.to(none_NE.dtype))


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
        is_kept_NK = None
        if top_k_N is not None:
            is_kept_NK = self.is_kept(top_k_N)
            weights_NK = weights_NK * is_kept_NK
        weights_NK = weights_NK / weights_NK.sum(dim=-1, keepdim=True)
        return Routing(scores_NE, weights_NK.to(dtype), expert_ids_NK, is_kept_NK)

    def is_kept(self, top_k_N: Tensor) -> Tensor:
        """Return which slots ``(N, K)`` tokens fill that keep so many experts."""
        return torch.arange(self.top_k, device=top_k_N.device) < top_k_N[:, None]


def load_balancing_loss(routings: Sequence[Routing], counts_GN: Tensor) -> Tensor:
    """Return ``E · Σ_slots Σ_experts f·P`` over all layers together; ``top_k`` when perfectly balanced.

    ``f`` is the share of tokens whose slot chose the expert, ``P`` its mean probability (Switch
    Transformer form, as in the published MoME code). The published code reads each scale in a pass of
    its own and averages their losses (model facts 4.5); here the scales are groups of one pass.

    Args:
        routings: One per layer, each over the same ``N`` positions.
        counts_GN: How often each position counts, in each group or ``(N,)`` in the only one: 0 for padding,
            1 for a token, or True and False.
    """
    num_experts = routings[0].scores_NE.shape[-1]
    # Mixed precision would do these sums in bfloat16.
    with torch.autocast(counts_GN.device.type, enabled=False):
        counts_GN = torch.atleast_2d(counts_GN).float()
        share_GN = counts_GN / (counts_GN.sum(dim=1, keepdim=True) * len(routings))
        share_GE = scores_GE = share_GN.new_zeros(len(share_GN), num_experts)
        for routing in routings:
            # The number of tokens that chose an expert is the number of its slots: the sum over slots of
            # f·P needs no slot of its own.
            share_GE = share_GE + share_GN @ routing.chosen_NE
            scores_GE = scores_GE + share_GN @ routing.scores_NE
        return num_experts * (share_GE * scores_GE).sum(dim=1).mean()
