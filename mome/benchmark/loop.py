"""The published experts: one module each, run in a Python loop (model facts 11, point 2)."""

# Shape letters: N tokens, D token width, E routed experts, K experts per token, S tokens of one expert.

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, one_hot

from mome.tuners.mome.experts import Experts
from mome.tuners.mome.router import Routing

__all__ = ["ExpertLoop", "ExpertLoops"]


class _Expert(nn.Module):
    def __init__(self, d_model: int, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.down = nn.Linear(d_model, width, dtype=dtype)
        self.up = nn.Linear(width, d_model, dtype=dtype)

    def forward(self, x_SD: Tensor) -> Tensor:
        out_SD: Tensor = self.up(gelu(self.down(x_SD)))
        return out_SD


class ExpertLoop(nn.Module):
    """One module per expert, each run on the tokens that chose it, whether there are any or not.

    Args:
        experts: The weights are copied from here.
        dtype: To compute in; by default that of the weights.
    """

    def __init__(self, experts: Experts, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        self.num_experts, self.top_k = experts.num_experts, experts.router.top_k
        all_experts, width, d_model = experts.down_weight_MWD.shape
        dtype = dtype or experts.down_weight_MWD.dtype
        self.routing: Routing | None = None
        with torch.device(experts.down_weight_MWD.device):
            self.gate = nn.Linear(d_model, self.num_experts, bias=False, dtype=dtype)
            self._experts = [_Expert(d_model, width, dtype) for _ in range(all_experts)]
        self.experts = nn.ModuleList(self._experts)
        with torch.no_grad():
            self.gate.weight.copy_(experts.router.gate.weight)
            for index, expert in enumerate(self._experts):
                expert.down.weight.copy_(experts.down_weight_MWD[index])
                expert.down.bias.copy_(experts.down_bias_MW[index])
                expert.up.weight.copy_(experts.up_weight_MWD[index].T)
                expert.up.bias.copy_(experts.up_bias_MD[index])

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Return the mixture's output, same shape as the tokens."""
        x_ND = x_BTD.reshape(-1, x_BTD.shape[-1])
        scores_NE = self.gate(x_ND).float().softmax(dim=-1)
        weights_NK, expert_ids_NK = scores_NE.topk(self.top_k, dim=-1)
        weights_NK = (weights_NK / weights_NK.sum(dim=-1, keepdim=True)).to(x_ND.dtype)
        self.routing = Routing(scores_NE, weights_NK, expert_ids_NK)
        chose_EKN = one_hot(expert_ids_NK, self.num_experts).permute(2, 1, 0)
        out_ND = torch.zeros_like(x_ND)
        for index in range(self.num_experts):
            slots_S, tokens_S = torch.where(chose_EKN[index])
            weighted_SD = self._experts[index](x_ND[tokens_S]) * weights_NK[tokens_S, slots_S, None]
            out_ND.index_add_(0, tokens_S, weighted_SD)
        for index in range(self.num_experts, len(self._experts)):
            out_ND = out_ND + self._experts[index](x_ND)
        return out_ND.view_as(x_BTD)

    def gradients(self) -> dict[str, Tensor]:
        """Return the gradients under the names and in the shapes of `Experts`."""
        down, up = [each.down for each in self._experts], [each.up for each in self._experts]
        return {
            "router.gate.weight": _gradient(self.gate.weight),
            "down_weight_MWD": torch.stack([_gradient(linear.weight) for linear in down]),
            "down_bias_MW": torch.stack([_gradient(linear.bias) for linear in down]),
            "up_weight_MWD": torch.stack([_gradient(linear.weight).T for linear in up]),
            "up_bias_MD": torch.stack([_gradient(linear.bias) for linear in up]),
        }


class ExpertLoops:
    """A loop for every mixture of an adapted LLM, and the way to let the LLM run them.

    Args:
        llm: As ``get_peft_model`` returns it; its weights are copied.
    """

    def __init__(self, llm: nn.Module) -> None:
        self._mixtures = {name: each for name, each in llm.named_modules() if isinstance(each, Experts)}
        self._loops = {name: ExpertLoop(each) for name, each in self._mixtures.items()}

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let the LLM run the loops, and its own experts again afterwards."""
        for name, experts in self._mixtures.items():
            experts.forward = partial(self._run, experts, self._loops[name])  # type: ignore[method-assign]
        try:
            yield
        finally:
            for experts in self._mixtures.values():
                del experts.forward

    def gradients(self) -> dict[str, Tensor]:
        """Return the gradients of all loops, under the names that the LLM has for its own experts."""
        return {
            f"{name}.{key}": gradient
            for name, loop in self._loops.items()
            for key, gradient in loop.gradients().items()
        }

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for loop in self._loops.values():
            loop.zero_grad(set_to_none=True)

    @staticmethod
    def _run(experts: Experts, loop: ExpertLoop, x_BTD: Tensor, *_: object) -> Tensor:
        out_BTD: Tensor = loop(x_BTD)
        experts.routing = loop.routing  # where the balance loss looks for it
        return out_BTD


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
