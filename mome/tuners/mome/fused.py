"""The experts on a GPU: two kernels forward, one and some products backward, in place of dozens.

A GPU waits for Python long before it waits for a mixture of small experts: each of the dozens of kernels
that torch would start takes longer to start than to run.
"""

# Shape letters: N tokens, D token width, E routed experts, M all experts (routed, then shared), W bottleneck
# width, R = M·W, K experts of a token, Q = R + E, P = R + M.

from __future__ import annotations

import functools
import logging
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Mixed", "Weights", "can_fuse", "mix"]

_log = logging.getLogger(__name__)

try:
    from mome.tuners.mome import gpu_kernels as _kernels

    gpu_kernels: Any = _kernels
except ImportError:  # a build of torch for CPUs comes without Triton
    gpu_kernels = None

_MOST, _MOST_IN_FLOAT32 = 4096, 512  # tokens
_LEAST = 16  # sides of what a GPU multiplies at once


class Weights(NamedTuple):
    """Of a router and all its experts: what the tokens meet, in the order in which they do.

    Args:
        gate_ED: Of the router.
        down_weight_MWD: Of the experts, like the three that follow.
        down_bias_MW: Before the GELU.
        up_weight_MWD: After it.
        up_bias_MD: Last.
    """

    gate_ED: Tensor
    down_weight_MWD: Tensor
    down_bias_MW: Tensor
    up_weight_MWD: Tensor
    up_bias_MD: Tensor


class Mixed(NamedTuple):
    """What the experts say ``(N, D)``, and where the tokens went.

    The scores of all routed experts, the weights of the kept ones, and which those are.
    """

    out_ND: Tensor
    scores_NE: Tensor
    weights_NK: Tensor
    ids_NK: Tensor


def can_fuse(x_ND: Tensor) -> bool:
    """Tell whether these tokens lie on a GPU on which the kernels run, and are not too many for them.

    Torch's own products are quicker for many, and for fewer in float32 (docs/performance.md).
    """
    most = _MOST_IN_FLOAT32 if _is_exact(x_ND) else _MOST
    if x_ND.device.type != "cuda" or not 0 < len(x_ND) <= most:
        return False
    # What is compiled ran before, and can try nothing.
    return gpu_kernels is not None if torch.compiler.is_compiling() else _run_on(x_ND.device)


@functools.cache
def _run_on(device: torch.device) -> bool:
    """Try: Triton needs a C compiler, Python's headers, and a GPU that is not too old for it."""
    if gpu_kernels is None:
        _log.warning("experts are computed by torch's own kernels, which takes longer: there is no Triton")
        return False
    shapes = ((1, 16), (1, 1, 16), (1, 1), (1, 1, 16), (1, 16))
    try:
        # Whatever the first pass is for, a later one may train.
        with torch.inference_mode(False), torch.enable_grad():
            weights = Weights(*(torch.ones(shape, device=device) for shape in shapes))
            tokens = torch.ones(1, 16, device=device, requires_grad=True)
            mix(tokens, weights, top_k=1).out_ND.sum().backward()
    except Exception as error:  # noqa: BLE001  # whatever it is: torch can do without
        _log.warning(
            "experts are computed by torch's own kernels, which takes longer: Triton cannot compile its own "
            "here (it needs gcc and Python's headers): %s",
            error,
        )
        return False
    return True


def mix(x_ND: Tensor, weights: Weights, top_k: int, top_k_N: Tensor | None = None) -> Mixed:
    """Route tokens, and return what their experts say; gradients flow through output and scores.

    Products are in the digits of the tokens, of which the weights are too; sums are in float32.

    Args:
        x_ND: Tokens.
        weights: Of router and experts.
        top_k: Experts that a token keeps, at most.
        top_k_N: How many each keeps; None: all that many.
    """
    x_ND = x_ND.contiguous()
    weights = Weights(*(each.contiguous() for each in weights))
    if torch.compiler.is_compiling():
        return _forward(x_ND, weights, top_k, top_k_N)[0]
    # Triton starts kernels on the current GPU, wherever the tensors lie.
    with torch.cuda.device_of(x_ND):
        if torch.is_grad_enabled():
            return Mixed(*_Mix.apply(x_ND, *weights, top_k, top_k_N))  # type: ignore[no-untyped-call]
        return _forward(x_ND, weights, top_k, top_k_N)[0]


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x_ND: Tensor,
        gate_ED: Tensor,
        down_weight_MWD: Tensor,
        down_bias_MW: Tensor,
        up_weight_MWD: Tensor,
        up_bias_MD: Tensor,
        top_k: int,
        top_k_N: Tensor | None,
    ) -> Mixed:
        weights = Weights(gate_ED, down_weight_MWD, down_bias_MW, up_weight_MWD, up_bias_MD)
        mixed, kept = _forward(x_ND, weights, top_k, top_k_N)
        ctx.mark_non_differentiable(mixed.weights_NK, mixed.ids_NK)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(
            x_ND, gate_ED, down_weight_MWD, up_weight_MWD, up_bias_MD, kept, mixed.scores_NE
        )
        return mixed

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, out_ND: Tensor | None, scores_NE: Tensor | None, *_: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        x_ND, gate_ED, down_MWD, up_MWD, up_bias_MD, kept, probabilities_NE = ctx.saved_tensors
        out_ND = torch.zeros_like(x_ND) if out_ND is None else out_ND.contiguous()
        down_RD, up_RD = down_MWD.flatten(0, 1), up_MWD.flatten(0, 1)
        num_tokens, num_rows = len(x_ND), len(down_RD)
        num_routed, num_experts = len(gate_ED), len(up_bias_MD)
        inner_NQ = x_ND.new_empty(num_tokens, num_rows + num_routed)
        outer_NP = x_ND.new_empty(num_tokens, num_rows + num_experts)
        gpu_kernels.go_back[(-(-num_tokens // _LEAST),)](
            kept, probabilities_NE, out_ND @ up_RD.T, out_ND @ up_bias_MD.T,
            probabilities_NE if scores_NE is None else scores_NE.contiguous(), inner_NQ, outer_NP,
            num_tokens, E=num_routed, M=num_experts, W=down_MWD.shape[1], HAS_SCORES=scores_NE is not None,
            EXPERTS=_padded(num_experts), DIGITS=_digits(x_ND), TOKENS=_LEAST, ROWS=32,
        )  # fmt: skip
        x_gradient_ND = torch.mm(inner_NQ[:, :num_rows], down_RD).addmm_(inner_NQ[:, num_rows:], gate_ED)
        inner_QD, outer_PD = inner_NQ.T @ x_ND, outer_NP.T @ out_ND
        return (
            x_gradient_ND,
            inner_QD[num_rows:],
            inner_QD[:num_rows].view_as(down_MWD),
            inner_NQ[:, :num_rows].sum(0).view(down_MWD.shape[:2]),
            outer_PD[:num_rows].view_as(up_MWD),
            outer_PD[num_rows:],
            None,
            None,
        )


def _forward(x_ND: Tensor, weights: Weights, top_k: int, top_k_N: Tensor | None) -> tuple[Mixed, Tensor]:
    """Return also what the way back needs: logits, every expert's weight, what goes into its GELU."""
    (num_tokens, width), num_routed = x_ND.shape, len(weights.gate_ED)
    num_experts, bottleneck, _ = weights.down_weight_MWD.shape
    num_rows = num_experts * bottleneck
    out_ND = torch.empty_like(x_ND)
    # One piece of memory: to ask for each takes longer than to fill it.
    kept = x_ND.new_empty(num_tokens * (num_routed + num_experts + num_rows), dtype=torch.float32)
    scores_NE = x_ND.new_empty(num_tokens, num_routed, dtype=torch.float32)
    weights_NK = x_ND.new_empty(num_tokens, top_k)
    ids_NK = x_ND.new_empty(num_tokens, top_k, dtype=torch.int64)
    tiles = _Tiles.of(num_tokens)
    blocks = -(-num_tokens // tiles.tokens)
    gpu_kernels.go_down[(blocks, -(-num_routed // tiles.rows) + -(-num_rows // tiles.rows))](
        x_ND, weights.gate_ED, weights.down_weight_MWD, weights.down_bias_MW, kept, num_tokens,
        D=width, E=num_routed, M=num_experts, W=bottleneck, TOKENS=tiles.tokens, ROWS=tiles.rows, WIDTH=128,
    )  # fmt: skip
    gpu_kernels.go_up[(blocks, -(-width // tiles.columns))](
        kept, weights.up_weight_MWD, weights.up_bias_MD, ids_NK if top_k_N is None else top_k_N, out_ND,
        scores_NE, weights_NK, ids_NK, num_tokens, D=width, E=num_routed, M=num_experts, W=bottleneck,
        K=top_k, HAS_TOP_K=top_k_N is not None, EXPERTS=_padded(num_experts), DIGITS=_digits(x_ND),
        TOKENS=tiles.tokens, ROWS=32, WIDTH=tiles.columns,
    )  # fmt: skip
    return Mixed(out_ND, scores_NE, weights_NK, ids_NK), kept


class _Tiles(NamedTuple):
    """What one program does: tokens by rows on the way down, by columns on the way up."""

    tokens: int
    rows: int
    columns: int = 64

    @classmethod
    def of(cls, num_tokens: int) -> _Tiles:
        # The fewer the tokens, the more programs share what all of them read.
        if num_tokens <= 16:
            return cls(16, 16)
        return cls(16, 32) if num_tokens <= 512 else cls(32, 32)


def _digits(x_ND: Tensor) -> str:
    # What is rounded to bfloat16 in the end needs no more of what is multiplied by ones and zeros.
    return "ieee" if _is_exact(x_ND) else "tf32"


def _is_exact(x_ND: Tensor) -> bool:
    if torch.is_autocast_enabled(x_ND.device.type):
        return torch.get_autocast_dtype(x_ND.device.type) == torch.float32
    return x_ND.dtype == torch.float32


def _padded(count: int) -> int:
    return max(_LEAST, 1 << (count - 1).bit_length())
