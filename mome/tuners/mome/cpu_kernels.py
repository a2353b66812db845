"""Products of tokens with the weights of their experts, compiled by Numba when they are first called.

A token meets a few experts of a few rows each: too narrow for a library's product, and too dear to gather
into copies. So pairs of a token and an expert come sorted by expert, several of them at once share what is
loaded, and no token is copied. All arrays of numbers are float32.
"""

# Shape letters: N tokens, D token width, M experts, W bottleneck width, P pairs of a token and an expert,
# K experts of a token.

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["add_rows", "dot_rows", "read_few", "read_many", "sort_pairs", "sum_products"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Kernel = TypeVar("Kernel", bound=Callable[..., object])

_COLUMNS = 1024  # of four rows and two tokens, with which they stay near
_ZERO, _ROOT_OF_HALF = np.float32(0), np.float32(0.5**0.5)


def _compiled(kernel: Kernel) -> Kernel:
    # Sums in any order, as vectors take them, but nothing that would lose what is infinite or no number.
    return cast(Kernel, numba.njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})(kernel))


@_compiled
def _gelu(x: np.float32) -> np.float32:
    return np.float32(0.5) * x * (np.float32(1) + np.float32(math.erf(x * _ROOT_OF_HALF)))


@_compiled
def _dot(a: Floats, b: Floats) -> np.float32:
    total = _ZERO
    for d in range(a.shape[0]):
        total += a[d] * b[d]
    return total


@_compiled
def _dot_eight(tokens: tuple[Floats, ...], rows: tuple[Floats, ...], out: Floats, p: int, w: int) -> None:
    """Two tokens with four rows: six loads for eight products, as many as AVX2 has registers to sum in."""
    x0, x1 = tokens
    r0, r1, r2, r3 = rows
    a00 = a01 = a02 = a03 = a10 = a11 = a12 = a13 = _ZERO
    for d in range(x0.shape[0]):
        b0, b1, b2, b3 = r0[d], r1[d], r2[d], r3[d]
        a00 += x0[d] * b0
        a01 += x0[d] * b1
        a02 += x0[d] * b2
        a03 += x0[d] * b3
        a10 += x1[d] * b0
        a11 += x1[d] * b1
        a12 += x1[d] * b2
        a13 += x1[d] * b3
    sums = ((a00, a01, a02, a03), (a10, a11, a12, a13))
    for i in range(2):
        for j in range(4):
            out[p + i, w + j] += sums[i][j]


@_compiled
def _four(x_ND: Floats, tokens: Integers, start: int, end: int) -> tuple[Floats, ...]:
    # One by one: a block of them would not be known to lie without gaps.
    return (
        x_ND[tokens[0], start:end],
        x_ND[tokens[1], start:end],
        x_ND[tokens[2], start:end],
        x_ND[tokens[3], start:end],
    )


@_compiled
def _add(y: Floats, factor: np.float32, row: Floats) -> None:
    for d in range(row.shape[0]):
        y[d] += factor * row[d]


@_compiled
def _add_four(y: Floats, factors_4: Floats, rows: tuple[Floats, ...]) -> None:
    r0, r1, r2, r3 = rows
    f0, f1, f2, f3 = factors_4
    for d in range(y.shape[0]):
        y[d] += f0 * r0[d] + f1 * r1[d] + f2 * r2[d] + f3 * r3[d]


@_compiled
def _add_four_each(out_ND: Floats, targets_Q: Integers, factors_Q4: Floats, rows: tuple[Floats, ...]) -> None:
    """Add to each target four rows, to three at once: seven loads and three stores for twelve products.

    A processor keeps no more than eight lines that lie a multiple of 4 KiB apart, as rows mostly do: one more
    row, and each would be fetched again for the next target.
    """
    r0, r1, r2, r3 = rows
    in_threes = len(targets_Q) - len(targets_Q) % 3
    for q in range(0, in_threes, 3):
        y0, y1, y2 = out_ND[targets_Q[q]], out_ND[targets_Q[q + 1]], out_ND[targets_Q[q + 2]]
        f00, f01, f02, f03 = factors_Q4[q, 0], factors_Q4[q, 1], factors_Q4[q, 2], factors_Q4[q, 3]
        f10, f11, f12, f13 = (
            factors_Q4[q + 1, 0],
            factors_Q4[q + 1, 1],
            factors_Q4[q + 1, 2],
            factors_Q4[q + 1, 3],
        )
        f20, f21, f22, f23 = (
            factors_Q4[q + 2, 0],
            factors_Q4[q + 2, 1],
            factors_Q4[q + 2, 2],
            factors_Q4[q + 2, 3],
        )
        for d in range(r0.shape[0]):
            b0, b1, b2, b3 = r0[d], r1[d], r2[d], r3[d]
            y0[d] += f00 * b0 + f01 * b1 + f02 * b2 + f03 * b3
            y1[d] += f10 * b0 + f11 * b1 + f12 * b2 + f13 * b3
            y2[d] += f20 * b0 + f21 * b1 + f22 * b2 + f23 * b3
    for q in range(in_threes, len(targets_Q)):
        _add_four(out_ND[targets_Q[q]], factors_Q4[q], rows)


@_compiled
def read_few(
    x_ND: Floats,
    ids_NK: Integers,
    weights_NK: Floats,
    down_MWD: Floats,
    down_bias_MW: Floats,
    up_MWD: Floats,
    up_bias_MD: Floats,
    out_ND: Floats,
) -> None:
    """Add to ``out_ND`` what its experts say of each token, token by token.

    Args:
        x_ND: Tokens.
        ids_NK: Experts of each.
        weights_NK: Of these experts.
        down_MWD: Rows of each expert that a token is multiplied with.
        down_bias_MW: Added to these products, before the GELU.
        up_MWD: Rows that are summed, each as far as its product says.
        up_bias_MD: Added to that sum.
        out_ND: Added to.
    """
    _, width, depth = down_MWD.shape
    in_fours = width - width % 4
    numbers_W = np.arange(width)
    inside_W = np.empty(width, np.float32)
    for n in range(x_ND.shape[0]):
        for k in range(ids_NK.shape[1]):
            m, weight = ids_NK[n, k], weights_NK[n, k]
            for w in range(width):
                inside_W[w] = weight * _gelu(_dot(x_ND[n], down_MWD[m, w]) + down_bias_MW[m, w])
            _add(out_ND[n], weight, up_bias_MD[m])
            for w in range(0, in_fours, 4):
                _add_four(out_ND[n], inside_W[w : w + 4], _four(up_MWD[m], numbers_W[w : w + 4], 0, depth))
            for w in range(in_fours, width):
                _add(out_ND[n], inside_W[w], up_MWD[m, w])


@_compiled
def sort_pairs(ids_NK: Integers, tokens_P: Integers, places_P: Integers, firsts_M1: Integers) -> None:
    """Sort pairs of a token and an expert by expert, and those of an expert by token.

    Args:
        ids_NK: Experts of each token.
        tokens_P: Filled with the token of each sorted pair.
        places_P: Filled with the place of each in ``ids_NK``, as if that were flat.
        firsts_M1: Filled with the first pair of each expert, and at the end with the number of pairs.
    """
    num_tokens, num_chosen = ids_NK.shape
    firsts_M1[:] = 0
    for n in range(num_tokens):
        for k in range(num_chosen):
            firsts_M1[ids_NK[n, k] + 1] += 1
    for m in range(len(firsts_M1) - 1):
        firsts_M1[m + 1] += firsts_M1[m]
    nexts_M = firsts_M1[:-1].copy()
    for n in range(num_tokens):
        for k in range(num_chosen):
            p = nexts_M[ids_NK[n, k]]
            nexts_M[ids_NK[n, k]] += 1
            tokens_P[p] = n
            places_P[p] = n * num_chosen + k


@_compiled
def dot_rows(x_ND: Floats, tokens_P: Integers, firsts_M1: Integers, rows_MWD: Floats, out_PW: Floats) -> None:
    """Add to ``out_PW`` the products of each pair's token with the rows of its expert.

    Args:
        x_ND: Tokens.
        tokens_P: As `sort_pairs` fills it, like ``firsts_M1``.
        firsts_M1: First pair of each expert.
        rows_MWD: Of each expert.
        out_PW: Added to.
    """
    num_experts, width, depth = rows_MWD.shape
    in_fours = width - width % 4
    numbers_W = np.arange(width)
    for start in range(0, depth, _COLUMNS):
        end = min(depth, start + _COLUMNS)
        for m in range(num_experts):
            first, last = firsts_M1[m], firsts_M1[m + 1]
            in_twos = last - (last - first) % 2
            for w in range(0, in_fours, 4):
                rows = _four(rows_MWD[m], numbers_W[w : w + 4], start, end)
                for p in range(first, in_twos, 2):
                    tokens = (x_ND[tokens_P[p], start:end], x_ND[tokens_P[p + 1], start:end])
                    _dot_eight(tokens, rows, out_PW, p, w)
            for p in range(first, last):
                for w in range(in_fours if p < in_twos else 0, width):
                    out_PW[p, w] += _dot(x_ND[tokens_P[p], start:end], rows_MWD[m, w, start:end])


@_compiled
def _activate(
    inside_PW: Floats,
    bias_MW: Floats,
    weights_NK: Floats,
    places_P: Integers,
    firsts_M1: Integers,
    factors_PW: Floats,
) -> None:
    num_chosen = weights_NK.shape[1]
    for m in range(bias_MW.shape[0]):
        for p in range(firsts_M1[m], firsts_M1[m + 1]):
            weight = weights_NK[places_P[p] // num_chosen, places_P[p] % num_chosen]
            for w in range(bias_MW.shape[1]):
                inside_PW[p, w] += bias_MW[m, w]
                factors_PW[p, w] = weight * _gelu(inside_PW[p, w])


@_compiled
def add_rows(
    factors_PW: Floats, tokens_P: Integers, firsts_M1: Integers, rows_MWD: Floats, out_ND: Floats
) -> None:
    """Add to each pair's token in ``out_ND`` the rows of its expert, times the pair's factors.

    Args:
        factors_PW: Of each pair.
        tokens_P: As `sort_pairs` fills it, like ``firsts_M1``.
        firsts_M1: First pair of each expert.
        rows_MWD: Of each expert.
        out_ND: Added to.
    """
    num_experts, width, depth = rows_MWD.shape
    in_fours = width - width % 4
    numbers_W = np.arange(width)
    for m in range(num_experts):
        first, last = firsts_M1[m], firsts_M1[m + 1]
        for w in range(0, in_fours, 4):
            rows = _four(rows_MWD[m], numbers_W[w : w + 4], 0, depth)
            _add_four_each(out_ND, tokens_P[first:last], factors_PW[first:last, w : w + 4], rows)
        for w in range(in_fours, width):
            for p in range(first, last):
                _add(out_ND[tokens_P[p]], factors_PW[p, w], rows_MWD[m, w])


@_compiled
def sum_products(
    factors_PW: Floats, x_ND: Floats, tokens_P: Integers, firsts_M1: Integers, out_MWD: Floats
) -> None:
    """Add to the rows of each expert its pairs' tokens times their factors: the gradient of a weight.

    Args:
        factors_PW: Of each pair.
        x_ND: Tokens.
        tokens_P: As `sort_pairs` fills it, like ``firsts_M1``.
        firsts_M1: First pair of each expert.
        out_MWD: Added to.
    """
    num_experts, width, depth = out_MWD.shape
    numbers_W = np.arange(width)
    for m in range(num_experts):
        first, last = firsts_M1[m], firsts_M1[m + 1]
        in_fours = last - (last - first) % 4
        for p in range(first, in_fours, 4):
            tokens = _four(x_ND, tokens_P[p : p + 4], 0, depth)
            _add_four_each(out_MWD[m], numbers_W, factors_PW[p : p + 4].T, tokens)
        for p in range(in_fours, last):
            for w in range(width):
                _add(out_MWD[m, w], factors_PW[p, w], x_ND[tokens_P[p]])


@_compiled
def read_many(
    x_ND: Floats,
    ids_NK: Integers,
    weights_NK: Floats,
    down_MWD: Floats,
    down_bias_MW: Floats,
    up_MWD: Floats,
    tokens_P: Integers,
    places_P: Integers,
    firsts_M1: Integers,
    inside_PW: Floats,
    factors_PW: Floats,
    out_ND: Floats,
) -> None:
    """Add to ``out_ND`` what its experts say of each token, without their last biases, expert by expert.

    Args:
        x_ND: Tokens.
        ids_NK: Experts of each.
        weights_NK: Of these experts.
        down_MWD: Rows of each expert that a token is multiplied with.
        down_bias_MW: Added to these products, before the GELU.
        up_MWD: Rows that are summed, each as far as its product says.
        tokens_P: As `sort_pairs` fills it, like the two that follow.
        places_P: See there.
        firsts_M1: See there.
        inside_PW: Filled with what goes into the GELU, for each sorted pair; zero before.
        factors_PW: Filled with what comes out of it, weighted.
        out_ND: Added to.
    """
    sort_pairs(ids_NK, tokens_P, places_P, firsts_M1)
    dot_rows(x_ND, tokens_P, firsts_M1, down_MWD, inside_PW)
    _activate(inside_PW, down_bias_MW, weights_NK, places_P, firsts_M1, factors_PW)
    add_rows(factors_PW, tokens_P, firsts_M1, up_MWD, out_ND)
