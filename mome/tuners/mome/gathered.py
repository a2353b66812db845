"""What the chosen experts of each token add, and nothing of the others: float32 on a CPU.

All experts as two dense products do several times the sums and read several times the weights. Units for
products in bfloat16 make up for that; in float32 nothing does (docs/performance.md).
"""

# Shape letters: N tokens, D token width, M experts, W bottleneck width, K experts of a token, P = N·K.

from __future__ import annotations

import functools
import itertools
import logging
import math
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mome.machine.team import in_team

__all__ = ["Way", "add_gathered", "best_way", "read_few"]

_log = logging.getLogger(__name__)

Way = Literal["dense", "few", "many"]

_MANY = 64  # tokens, from which it pays to sort them and to share them out among threads
_MOST = 256  # tokens of a part, which stay in a core's own memory from one expert to the next
_LEAST_WIDTH = 512


class _Part(NamedTuple):
    """A stretch of the tokens; ``share`` numbers the thread that computes it."""

    share: int
    tokens: slice
    pairs: slice
    tokens_P: np.ndarray
    places_P: np.ndarray
    firsts_M1: np.ndarray

    def read(
        self, of_tokens: Sequence[np.ndarray], weights: Sequence[np.ndarray], of_pairs: Sequence[np.ndarray]
    ) -> None:
        *given, out_ND = (each[self.tokens] for each in of_tokens)
        filled = (each[self.pairs] for each in of_pairs)
        _loaded().read_many(*given, *weights, self.tokens_P, self.places_P, self.firsts_M1, *filled, out_ND)

    def dot_rows(self, x_ND: Tensor, rows_MWD: Tensor, out_PW: Tensor) -> None:
        own_ND, own_PW = _array(x_ND[self.tokens]), _array(out_PW[self.pairs])
        _loaded().dot_rows(own_ND, self.tokens_P, self.firsts_M1, _array(rows_MWD), own_PW)

    def add_rows(self, factors_PW: Tensor, rows_MWD: Tensor, out_ND: Tensor) -> None:
        own_PW, own_ND = _array(factors_PW[self.pairs]), _array(out_ND[self.tokens])
        _loaded().add_rows(own_PW, self.tokens_P, self.firsts_M1, _array(rows_MWD), own_ND)

    def sum_products(self, factors_PW: Tensor, x_ND: Tensor, out_MWD: Tensor) -> None:
        own_PW, own_ND = _array(factors_PW[self.pairs]), _array(x_ND[self.tokens])
        _loaded().sum_products(own_PW, own_ND, self.tokens_P, self.firsts_M1, _array(out_MWD))


def best_way(x_ND: Tensor, weight_MWD: Tensor) -> Way:
    """Return how experts are quickest for these tokens, of what this machine can do.

    Args:
        x_ND: Tokens.
        weight_MWD: Of all experts.
    """
    if x_ND.device.type != "cpu" or x_ND.dtype != torch.float32 or weight_MWD.dtype != torch.float32:
        return "dense"
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        return "dense"
    tokens, width = x_ND.shape
    # Loading the compiler takes longer than a small model would ever win.
    if width < _LEAST_WIDTH or (tokens < _MANY and torch.is_grad_enabled()) or _kernels() is None:
        return "dense"
    return "few" if tokens < _MANY else "many"


def read_few(
    x_ND: Tensor,
    ids_NK: Tensor,
    weights_NK: Tensor,
    down_weight_MWD: Tensor,
    down_bias_MW: Tensor,
    up_weight_MWD: Tensor,
    up_bias_MD: Tensor,
) -> Tensor:
    """Return ``weight · (GELU(x · down + bias) · up + bias)`` of each token's experts; no gradients.

    Args:
        x_ND: Tokens.
        ids_NK: Experts of each, int64.
        weights_NK: Of these experts.
        down_weight_MWD: Of all experts, like the three that follow.
        down_bias_MW: Before the GELU.
        up_weight_MWD: After it.
        up_bias_MD: Last.
    """
    out_ND = torch.zeros_like(x_ND, memory_format=torch.contiguous_format)
    given = (x_ND, ids_NK, weights_NK, down_weight_MWD, down_bias_MW, up_weight_MWD, up_bias_MD, out_ND)
    _loaded().read_few(*map(_array, given))
    return out_ND


def add_gathered(
    sum_ND: Tensor,
    x_ND: Tensor,
    ids_NK: Tensor,
    weights_NK: Tensor,
    down_weight_MWD: Tensor,
    down_bias_MW: Tensor,
    up_weight_MWD: Tensor,
) -> Tensor:
    """Add ``weight · (GELU(x · down + bias) · up)`` of each token's experts to a sum, in place.

    Args:
        sum_ND: What is added to, such as the experts' last biases.
        x_ND: Tokens.
        ids_NK: Experts of each, int64.
        weights_NK: Of these experts.
        down_weight_MWD: Of all experts, like the two that follow.
        down_bias_MW: Before the GELU.
        up_weight_MWD: After it.

    Returns:
        ``sum_ND``, through which gradients flow to all but ``ids_NK``.
    """
    summed: Tensor = _Gathered.apply(  # type: ignore[no-untyped-call]
        sum_ND, x_ND, weights_NK, down_weight_MWD, down_bias_MW, up_weight_MWD, ids_NK
    )
    return summed


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        sum_ND: Tensor,
        x_ND: Tensor,
        weights_NK: Tensor,
        down_weight_MWD: Tensor,
        down_bias_MW: Tensor,
        up_weight_MWD: Tensor,
        ids_NK: Tensor,
    ) -> Tensor:
        x_ND = x_ND.contiguous()
        parts = _parts(ids_NK, len(down_weight_MWD))
        inside_PW = x_ND.new_zeros(ids_NK.numel(), down_weight_MWD.shape[1])
        factors_PW = torch.empty_like(inside_PW)

        # In one go: what little Python does between two kernels, one thread does after the other.
        of_tokens = [_array(each) for each in (x_ND, ids_NK, weights_NK, sum_ND)]
        weights = [_array(each) for each in (down_weight_MWD, down_bias_MW, up_weight_MWD)]
        of_pairs = [_array(each) for each in (inside_PW, factors_PW)]
        _each(lambda part: part.read(of_tokens, weights, of_pairs), parts)
        ctx.mark_dirty(sum_ND)
        ctx.save_for_backward(x_ND, weights_NK, down_weight_MWD, up_weight_MWD, inside_PW)
        ctx.parts = parts
        return sum_ND

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, summed_ND: Tensor) -> tuple[Tensor | None, ...]:
        x_ND, weights_NK, down_weight_MWD, up_weight_MWD, inside_PW = ctx.saved_tensors
        parts: Sequence[_Part] = ctx.parts
        places_P = torch.cat([torch.from_numpy(part.places_P) + part.pairs.start for part in parts])
        summed_ND = summed_ND.contiguous()
        active_PW = torch.zeros_like(inside_PW)
        _each(lambda part: part.dot_rows(summed_ND, up_weight_MWD, active_PW), parts)
        out_PW = nn.functional.gelu(inside_PW)
        weights_PW = weights_NK.flatten()[places_P, None]
        weight_gradients_NK = torch.zeros_like(weights_NK)
        weight_gradients_NK.view(-1)[places_P] = (active_PW * out_PW).sum(1)
        inside_gradients_PW = torch.ops.aten.gelu_backward(active_PW * weights_PW, inside_PW)
        out_PW *= weights_PW
        x_gradients_ND = torch.zeros_like(x_ND)
        # Each thread sums for itself what all tokens change.
        down_TMWD, up_TMWD = (
            each_MWD.new_zeros(parts[-1].share + 1, *each_MWD.shape)
            for each_MWD in (down_weight_MWD, up_weight_MWD)
        )

        def go_up(part: _Part) -> None:
            part.add_rows(inside_gradients_PW, down_weight_MWD, x_gradients_ND)
            part.sum_products(inside_gradients_PW, x_ND, down_TMWD[part.share])
            part.sum_products(out_PW, summed_ND, up_TMWD[part.share])

        _each(go_up, parts)
        bias_gradients_MW = inside_PW.new_zeros(down_weight_MWD.shape[:2])
        bias_gradients_MW.index_add_(0, _experts(parts), inside_gradients_PW)
        return (
            summed_ND,
            x_gradients_ND,
            weight_gradients_NK,
            down_TMWD.sum(0),
            bias_gradients_MW,
            up_TMWD.sum(0),
            None,
        )


def _parts(ids_NK: Tensor, num_experts: int) -> list[_Part]:
    num_tokens, num_chosen = ids_NK.shape
    shares = min(torch.get_num_threads(), max(1, num_tokens * 2 // _MANY))
    each = math.ceil(num_tokens / (shares * _MOST))  # parts of a share
    bounds = [num_tokens * number // (shares * each) for number in range(shares * each + 1)]
    parts = []
    for number, (start, end) in enumerate(itertools.pairwise(bounds)):
        tokens_P, places_P = np.empty((2, (end - start) * num_chosen), np.int64)
        firsts_M1 = np.empty(num_experts + 1, np.int64)
        pairs = slice(start * num_chosen, end * num_chosen)
        parts.append(_Part(number // each, slice(start, end), pairs, tokens_P, places_P, firsts_M1))
    return parts


def _experts(parts: Sequence[_Part]) -> Tensor:
    """Return the expert of every sorted pair ``(P,)``."""
    numbers_M = np.arange(len(parts[0].firsts_M1) - 1)
    return torch.from_numpy(np.concatenate([np.repeat(numbers_M, np.diff(p.firsts_M1)) for p in parts]))


def _each(work: Callable[[_Part], None], parts: Sequence[_Part]) -> None:
    """Do all parts, the shares at the same time."""

    def do(share: int) -> None:
        for part in parts:
            if part.share == share:
                work(part)

    in_team(do, parts[-1].share + 1)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()  # what is written to is contiguous: no copy of it is


@functools.cache
def _kernels() -> ModuleType | None:
    # Only here: it takes seconds to load, and most processes have no use for it.
    try:
        from mome.tuners.mome import cpu_kernels
    except (ImportError, OSError) as error:
        _log.warning(
            "experts are computed as dense products, which takes longer: %s; pip install 'mome[kernels]'",
            error,
        )
        return None
    return cpu_kernels


def _loaded() -> ModuleType:
    kernels = _kernels()
    assert kernels is not None  # `best_way` was asked
    return kernels
