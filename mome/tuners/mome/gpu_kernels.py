"""The experts' inner loops for GPUs, in Triton: compiled for the device at hand, interpreted in tests.

Imported only where Triton and what it needs are there (`mome.tuners.mome.fused`).
"""

# Shape letters: N tokens, D token width, E routed experts, M all experts (routed, then shared), W bottleneck
# width, R = M·W rows inside all experts, K experts of a token. Tensors are contiguous; sums are in float32.

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["go_back", "go_down", "go_up"]


@triton.jit(do_not_specialize=["N"])
def go_down(
    x_ND, gate_ED, down_RD, bias_R, kept_ptr, N, D: tl.constexpr, E: tl.constexpr, M: tl.constexpr,
    W: tl.constexpr, TOKENS: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Write the router's logits, and what goes into every expert's GELU.

    One program does some tokens by some rows, either of the router or of the experts.
    """
    token = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    is_token = token < N
    router_blocks = tl.cdiv(E, ROWS)
    block = tl.program_id(1)
    of_router = block < router_blocks
    if of_router:
        weight_ptr = gate_ED
        first = block * ROWS
        count = E
    else:
        weight_ptr = down_RD
        first = (block - router_blocks) * ROWS
        count = M * W
    row = first + tl.arange(0, ROWS)
    is_row = row < count
    column = tl.arange(0, WIDTH)
    sums = tl.zeros((TOKENS, ROWS), tl.float32)
    for start in range(0, D, WIDTH):
        place = start + column
        inside = place[None, :] < D
        x = tl.load(
            x_ND + token[:, None].to(tl.int64) * D + place, mask=is_token[:, None] & inside, other=0.0
        )
        weight = tl.load(weight_ptr + row[:, None] * D + place, mask=is_row[:, None] & inside, other=0.0)
        sums = tl.dot(x, tl.trans(weight), sums, input_precision="ieee")
    where = is_token[:, None] & is_row[None, :]
    if of_router:
        tl.store(kept_ptr + token[:, None] * E + row[None, :], sums, mask=where)
    else:
        bias = tl.load(bias_R + row, mask=is_row, other=0.0).to(tl.float32)
        there = _inside(N, E, M) + token[:, None].to(tl.int64) * (M * W) + row[None, :]
        tl.store(kept_ptr + there, sums + bias[None, :], mask=where)


@triton.jit(do_not_specialize=["N"])
def go_up(
    kept_ptr, up_RD, bias_MD, top_k_N, out_ND, scores_NE, weights_NK, ids_NK, N,
    D: tl.constexpr, E: tl.constexpr, M: tl.constexpr, W: tl.constexpr, K: tl.constexpr,
    HAS_TOP_K: tl.constexpr, EXPERTS: tl.constexpr, DIGITS: tl.constexpr, TOKENS: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Route, and write what the chosen experts say.

    One program does some tokens by some columns. Each routes for itself, for that takes less than to wait for
    another; the one with the first columns writes down where its tokens went.
    """
    token = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    is_token = token < N
    is_first = tl.program_id(1) == 0
    expert = tl.arange(0, EXPERTS)
    is_routed = expert < E
    here = is_token[:, None] & is_routed[None, :]
    logits = tl.load(kept_ptr + token[:, None] * E + expert[None, :], mask=here, other=-float("inf"))
    # Of tokens that are none all are equal: nothing in there may become a number that is none.
    logits = tl.where(is_token[:, None], logits, tl.where(is_routed[None, :], 0.0, -float("inf")))
    powers = tl.exp(logits - tl.max(logits, 1)[:, None])
    scores = powers / tl.sum(powers, 1)[:, None]
    kept = tl.zeros((TOKENS,), tl.int32) + K
    if HAS_TOP_K:
        kept = tl.load(top_k_N + token, mask=is_token, other=1).to(tl.int32)

    left = tl.where(is_routed[None, :], scores, -1.0)
    gates = tl.zeros((TOKENS, EXPERTS), tl.float32)
    for slot in tl.static_range(K):
        best = tl.argmax(left, 1)
        is_best = expert[None, :] == best[:, None]
        left = tl.where(is_best, -1.0, left)
        gates = tl.where(is_best & (slot < kept)[:, None], scores, gates)
    total = tl.sum(gates, 1)
    gates = gates / total[:, None]

    if is_first:
        tl.store(scores_NE + token[:, None] * E + expert[None, :], scores, mask=here)
        left = tl.where(is_routed[None, :], scores, -1.0)
        for slot in tl.static_range(K):
            best = tl.argmax(left, 1)
            left = tl.where(expert[None, :] == best[:, None], -1.0, left)
            # Sums of one number and zeros: the one.
            weight = tl.sum(tl.where(expert[None, :] == best[:, None], gates, 0.0), 1)
            tl.store(ids_NK + token * K + slot, tl.minimum(best, E - 1).to(tl.int64), mask=is_token)
            tl.store(weights_NK + token * K + slot, weight, mask=is_token)

    gates = tl.where((expert[None, :] >= E) & (expert[None, :] < M), 1.0, gates)
    if is_first:
        all_experts = is_token[:, None] & (expert < M)[None, :]
        tl.store(kept_ptr + N * E + token[:, None] * M + expert[None, :], gates, mask=all_experts)

    column = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    is_column = (column < D)[None, :]
    bias = tl.load(bias_MD + expert[:, None] * D + column, mask=(expert < M)[:, None] & is_column, other=0.0)
    sums = tl.dot(gates.to(bias.dtype), bias, input_precision="ieee")
    for start in range(0, M * W, ROWS):
        row = start + tl.arange(0, ROWS)
        is_row = row < M * W
        place = _inside(N, E, M) + token[:, None].to(tl.int64) * (M * W) + row[None, :]
        inside = tl.load(kept_ptr + place, mask=is_token[:, None] & is_row[None, :], other=0.0)
        factors = _gelu(inside) * _of_rows(gates, row, W, EXPERTS, DIGITS)
        up = tl.load(up_RD + row[:, None] * D + column, mask=is_row[:, None] & is_column, other=0.0)
        sums = tl.dot(factors.to(up.dtype), up, sums, input_precision="ieee")
    tl.store(out_ND + token[:, None].to(tl.int64) * D + column, sums, mask=is_token[:, None] & is_column)


@triton.jit(do_not_specialize=["N"])
def go_back(
    kept_ptr, scores_NE, from_up_NR, from_bias_NM, from_scores_NE, inner_NQ, outer_NP, N,
    E: tl.constexpr, M: tl.constexpr, W: tl.constexpr, HAS_SCORES: tl.constexpr, EXPERTS: tl.constexpr,
    DIGITS: tl.constexpr, TOKENS: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Write all that the products of the way back need, from the gradient of every row's factor.

    ``from_up_NR`` and ``from_bias_NM`` are the output's gradient times what leads up, ``inner_NQ`` are
    gradients inside the experts and, behind them, of the router's logits ``(N, R + E)``, ``outer_NP`` what
    was multiplied by what leads up: factors and, behind them, weights of experts ``(N, R + M)``.
    """
    token = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    is_token = token < N
    expert = tl.arange(0, EXPERTS)
    inner_ptr = inner_NQ + token[:, None].to(tl.int64) * (M * W + E)
    outer_ptr = outer_NP + token[:, None].to(tl.int64) * (M * W + M)
    here = is_token[:, None] & (expert < M)[None, :]
    gates = tl.load(kept_ptr + N * E + token[:, None] * M + expert[None, :], mask=here, other=0.0)
    tl.store(outer_ptr + M * W + expert[None, :], gates, mask=here)
    for_gates = tl.load(from_bias_NM + token[:, None] * M + expert[None, :], mask=here, other=0.0).to(
        tl.float32
    )
    for start in range(0, M * W, ROWS):
        row = start + tl.arange(0, ROWS)
        where = is_token[:, None] & (row < M * W)[None, :]
        place = token[:, None].to(tl.int64) * (M * W) + row[None, :]
        inside = tl.load(kept_ptr + _inside(N, E, M) + place, mask=where, other=0.0)
        from_up = tl.load(from_up_NR + place, mask=where, other=0.0).to(tl.float32)
        weight = _of_rows(gates, row, W, EXPERTS, DIGITS)
        active = _gelu(inside)
        tl.store(outer_ptr + row[None, :], active * weight, mask=where)
        tl.store(inner_ptr + row[None, :], from_up * weight * _gelu_slope(inside), mask=where)
        of_expert = (row[:, None] // W == expert[None, :]).to(tl.float32)
        for_gates = tl.dot(from_up * active, of_expert, for_gates, input_precision=DIGITS)

    routed = is_token[:, None] & (expert < E)[None, :]
    scores = tl.load(scores_NE + token[:, None] * E + expert[None, :], mask=routed, other=0.0)
    # One that was kept with a weight of zero changes nothing either way: its score is zero.
    is_kept = routed & (gates > 0.0)
    total = tl.sum(tl.where(is_kept, scores, 0.0), 1)
    total = tl.where(is_token, total, 1.0)
    mean = tl.sum(tl.where(is_kept, for_gates * gates, 0.0), 1)
    for_scores = tl.where(is_kept, (for_gates - mean[:, None]) / total[:, None], 0.0)
    if HAS_SCORES:
        for_scores += tl.load(from_scores_NE + token[:, None] * E + expert[None, :], mask=routed, other=0.0)
    for_logits = scores * (for_scores - tl.sum(scores * for_scores, 1)[:, None])
    tl.store(inner_ptr + M * W + expert[None, :], for_logits, mask=routed)


@triton.jit
def _inside(N, E: tl.constexpr, M: tl.constexpr):
    # Where in what is kept the experts' insides begin: behind logits and weights.
    return N * (E + M)


@triton.jit
def _of_rows(
    gates, row, W: tl.constexpr, EXPERTS: tl.constexpr, DIGITS: tl.constexpr
):  # fmt: skip
    # Of each row its expert's weight: products with ones and zeros.
    of_expert = (tl.arange(0, EXPERTS)[:, None] == (row // W)[None, :]).to(tl.float32)
    return tl.dot(gates, of_expert, input_precision=DIGITS)


@triton.jit
def _gelu(x):
    return 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))


@triton.jit
def _gelu_slope(x):
    return 0.5 * (1.0 + tl.erf(x * 0.7071067811865476)) + x * tl.exp(-0.5 * x * x) * 0.3989422804014327
