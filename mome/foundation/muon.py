"""Muon: momentum whose matrices are turned into the nearest orthogonal ones before they are followed.

K. Jordan et al., Muon, 2024, with the size of an update as in arXiv:2502.16982. torch has it as well, but
iterates in bfloat16, in which a processor without units for it takes longer than for all else of a step.
"""

# Shape letters: G matrices of one shape, R rows, C columns.

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["Muon", "orthogonal"]

_COEFFICIENTS = (3.4445, -4.775, 2.0315)  # of the quintic, chosen by Jordan for speed and not for exactness
_ITERATIONS = 5
_MOMENTUM = 0.95
_SIZE = 0.2  # root mean square of an update, as AdamW's are


def orthogonal(matrices_GRC: Tensor) -> Tensor:
    """Return matrices whose singular values are all near one (0.7 to 1.2), and whose directions stay."""
    is_tall = matrices_GRC.shape[1] > matrices_GRC.shape[2]
    x = matrices_GRC.transpose(1, 2) if is_tall else matrices_GRC
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        square = x @ x.transpose(1, 2)
        x = a * x + torch.baddbmm(b * square, square, square, alpha=c) @ x
    return x.transpose(1, 2) if is_tall else x


class Muon(torch.optim.Optimizer):
    """Muon for matrices; those of one shape are turned together.

    Args:
        matrices: Parameters of two dimensions.
        lr: Learning rate, on the scale of AdamW's.
        weight_decay: Share of a weight that is taken away, times the rate.
    """

    def __init__(self, matrices: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # a step has one gradient here
        """Follow the gradients."""
        assert closure is None
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike[tuple(matrix.shape)].append(matrix)
            for (rows, columns), matrices in alike.items():
                turned_GRC = orthogonal(torch.stack([self._momentum(matrix) for matrix in matrices]))
                size = _SIZE * max(rows, columns) ** 0.5
                torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(matrices, turned_GRC.unbind(), alpha=-group["lr"] * size)

    def _momentum(self, matrix: Tensor) -> Tensor:
        """Return the gradient's running mean, looked ahead as Nesterov does."""
        assert matrix.grad is not None
        state = self.state[matrix]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(matrix)
        momentum: Tensor = state["momentum"].lerp_(matrix.grad, 1 - _MOMENTUM)
        return matrix.grad.lerp(momentum, _MOMENTUM)
