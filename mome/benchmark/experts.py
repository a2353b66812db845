"""The MoME layer against the loop over experts, forward and backward."""

# Shape letters: B batch, T tokens, D token width.

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from mome.benchmark.equality import check_equal
from mome.benchmark.loop import ExpertLoop
from mome.benchmark.options import Options
from mome.benchmark.rows import Row, Target, not_measured
from mome.benchmark.timing import Side, row, time_in_turn
from mome.tuners.mome import MomeConfig
from mome.tuners.mome.experts import Experts

__all__ = ["measure_experts"]

_WIDTH = 2048  # of Llama-3.2-1B
_TOKENS = (1, 15, 256, 2048)  # one decoding step, one for each of the published 15 beams, two prefills
_TOLERANCE = 1e-6
_OF_A_WEIGHT = 5e-6  # whose gradient adds up over all tokens
_TIE = 1e-4  # logits this close may be ranked either way
_ON_CPU, _ON_GPU, _FEW_ON_GPU = Target(low=3), Target(low=8), Target(low=40)
_FEW = 256  # tokens
# Forward, and forward and backward; where only the chosen experts are read (`mome.tuners.mome.gathered`).
_IN_FLOAT32 = {1: (Target(low=8), _ON_CPU), 256: (Target(low=4), Target(low=3.5))}
_IN_FLOAT32[2048] = _IN_FLOAT32[256]


def measure_experts(options: Options) -> Iterator[Row]:
    """Yield the lines of the layer, in float32 and in bfloat16."""
    width, lengths = (64, _TOKENS[:2]) if options.quick else (_WIDTH, _TOKENS)
    torch.manual_seed(1)
    config = MomeConfig(num_experts=23, top_k=4, num_shared_experts=1, bottleneck_dim=8)
    ours = Experts(width, config).to(options.device)
    for bias in (ours.down_bias_MW, ours.up_bias_MD):
        nn.init.normal_(bias, std=0.02)  # zero biases would hide a mistake in them
    tokens = [_clear_tokens(ours, length) for length in lengths]
    for x_BTD in tokens:
        _check(ours, x_BTD)
    for dtype in (torch.float32, torch.bfloat16):
        ours = ours.to(dtype)
        loop = ExpertLoop(ours)
        for x_BTD in tokens:
            yield from _measure(ours, loop, x_BTD.to(dtype), options)
    if not options.on_gpu:
        yield not_measured("MoME layer, on a GPU", _FEW_ON_GPU, "needs a GPU")


def _check(ours: Experts, x_BTD: Tensor) -> None:
    """Compare with the loop in float64: its own rounding in float32 is larger than ours."""
    wanted_BTD = torch.randn_like(x_BTD)
    exact = ExpertLoop(ours, torch.float64)
    found, expected = _results(ours, x_BTD, wanted_BTD), _results(exact, x_BTD.double(), wanted_BTD.double())
    # Another way than the one that keeps what gradients need.
    found["output without gradients"] = _forward(ours, x_BTD)
    expected["output without gradients"] = expected["output"]
    gradients = {name: each.grad for name, each in ours.named_parameters() if each.grad is not None}
    for ours_is, theirs_is, tolerance in (
        (found, expected, _TOLERANCE),
        (gradients, exact.gradients(), _OF_A_WEIGHT),
    ):
        # The unit is that of the input, and of the gradient that comes from above.
        check_equal(_name(x_BTD), ours_is, theirs_is, tolerance, unit=1.0)


def _measure(ours: Experts, loop: ExpertLoop, x_BTD: Tensor, options: Options) -> Iterator[Row]:
    forward = backward = _ON_GPU if options.on_gpu else _ON_CPU
    if options.on_gpu and x_BTD.shape[1] <= _FEW:
        forward = _FEW_ON_GPU
    if not options.on_gpu and x_BTD.dtype == torch.float32:
        forward, backward = _IN_FLOAT32.get(x_BTD.shape[1], (forward, backward))
    wanted_BTD = torch.randn_like(x_BTD)
    name = f"{_name(x_BTD)}, {str(x_BTD.dtype).removeprefix('torch.')}"
    sides: dict[str, Side] = {
        "loop, forward": lambda: _forward(loop, x_BTD),
        "ours, forward": lambda: _forward(ours, x_BTD),
        "loop": lambda: _results(loop, x_BTD, wanted_BTD),
        "ours": lambda: _results(ours, x_BTD, wanted_BTD),
    }
    times = time_in_turn(sides, name, repetitions=options.repetitions, device=options.device)
    yield row(f"{name}, forward", times, "loop, forward", "ours, forward", forward)
    yield row(f"{name}, forward and backward", times, "loop", "ours", backward)


def _name(x_BTD: Tensor) -> str:
    tokens = x_BTD.shape[1]
    return f"MoME layer, {tokens} token" + "s" * (tokens > 1)


@torch.no_grad()
def _clear_tokens(ours: Experts, num_tokens: int) -> Tensor:
    """Draw tokens ``(1, T, D)`` whose choice of experts no rounding changes."""
    weight_ED, kept = ours.router.gate.weight, ours.router.top_k
    # Some are thrown away, so more are drawn than needed.
    drawn_ND = torch.randn(2 * num_tokens + 16, weight_ED.shape[1], device=weight_ED.device)
    best_NK = (drawn_ND @ weight_ED.T).topk(kept + 1).values
    is_clear_N = best_NK[:, kept - 1] - best_NK[:, kept] > _TIE
    return drawn_ND[is_clear_N][None, :num_tokens]


@torch.inference_mode()
def _forward(module: nn.Module, x_BTD: Tensor) -> Tensor:
    out_BTD: Tensor = module(x_BTD)
    return out_BTD


def _results(module: nn.Module, x_BTD: Tensor, wanted_BTD: Tensor) -> dict[str, Tensor]:
    """Run forward and backward; parameters keep their gradients."""
    module.zero_grad(set_to_none=True)
    x_BTD = x_BTD.detach().requires_grad_()
    out_BTD = module(x_BTD)
    out_BTD.backward(wanted_BTD)
    assert x_BTD.grad is not None  # a leaf
    return {"output": out_BTD.detach(), "gradient of the input": x_BTD.grad}
