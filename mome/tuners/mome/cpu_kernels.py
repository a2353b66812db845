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

__all__ = ["add_rows", "dot_rows", "read_few", "sort_pairs", "sum_products"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Kernel = TypeVar("Kernel", bound=Callable[..., object])

_COLUMNS = 1024  # of eight rows, with which they stay near
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
def _dot_four(tokens: tuple[Floats, ...], rows: tuple[Floats, ...], out: Floats, p: int, w: int) -> None:
    """Four tokens with four rows: eight loads for sixteen products."""
    x0, x1, x2, x3 = tokens
    r0, r1, r2, r3 = rows
    a00 = a01 = a02 = a03 = a10 = a11 = a12 = a13 = _ZERO
    a20 = a21 = a22 = a23 = a30 = a31 = a32 = a33 = _ZERO
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
        a20 += x2[d] * b0
        a21 += x2[d] * b1
        a22 += x2[d] * b2
        a23 += x2[d] * b3
        a30 += x3[d] * b0
        a31 += x3[d] * b1
        a32 += x3[d] * b2
        a33 += x3[d] * b3
    sums = ((a00, a01, a02, a03), (a10, a11, a12, a13), (a20, a21, a22, a23), (a30, a31, a32, a33))
    for i in range(4):
        for j in range(4):
            out[p + i, w + j] += sums[i][j]


@_compiled
def _eight(x_ND: Floats, tokens: Integers, start: int, end: int) -> tuple[Floats, ...]:
    # One by one: a block of them would not be known to lie without gaps.
    return (
        x_ND[tokens[0], start:end],
        x_ND[tokens[1], start:end],
        x_ND[tokens[2], start:end],
        x_ND[tokens[3], start:end],
        x_ND[tokens[4], start:end],
        x_ND[tokens[5], start:end],
        x_ND[tokens[6], start:end],
        x_ND[tokens[7], start:end],
    )


@_compiled
def _add(y: Floats, factor: np.float32, row: Floats) -> None:
    for d in range(row.shape[0]):
        y[d] += factor * row[d]


@_compiled
def _add_eight(
    out_ND: Floats, targets_Q: Integers, start: int, factors_Q8: Floats, rows: tuple[Floats, ...]
) -> None:
    """Add to each target eight rows in one go: what they are added to is loaded and stored once."""
    r0, r1, r2, r3, r4, r5, r6, r7 = rows
    for q in range(targets_Q.shape[0]):
        y = out_ND[targets_Q[q], start:]
        f0, f1, f2, f3 = factors_Q8[q, 0], factors_Q8[q, 1], factors_Q8[q, 2], factors_Q8[q, 3]
        f4, f5, f6, f7 = factors_Q8[q, 4], factors_Q8[q, 5], factors_Q8[q, 6], factors_Q8[q, 7]
        for d in range(r0.shape[0]):
            low = f0 * r0[d] + f1 * r1[d] + f2 * r2[d] + f3 * r3[d]
            y[d] += low + f4 * r4[d] + f5 * r5[d] + f6 * r6[d] + f7 * r7[d]


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
    in_eights = width - width % 8
    numbers_W, target = np.arange(width), np.empty(1, np.int64)
    inside_1W = np.empty((1, width), np.float32)
    for n in range(x_ND.shape[0]):
        target[0] = n
        for k in range(ids_NK.shape[1]):
            m, weight = ids_NK[n, k], weights_NK[n, k]
            for w in range(width):
                inside_1W[0, w] = weight * _gelu(_dot(x_ND[n], down_MWD[m, w]) + down_bias_MW[m, w])
            _add(out_ND[n], weight, up_bias_MD[m])
            for w in range(0, in_eights, 8):
                rows = _eight(up_MWD[m], numbers_W[w : w + 8], 0, depth)
                _add_eight(out_ND, target, 0, inside_1W[:, w : w + 8], rows)
            for w in range(in_eights, width):
                _add(out_ND[n], inside_1W[0, w], up_MWD[m, w])


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
    num_experts, width, _ = rows_MWD.shape
    in_fours = width - width % 4
    for m in range(num_experts):
        p, end = firsts_M1[m], firsts_M1[m + 1]
        while end - p >= 4:
            t0, t1, t2, t3 = tokens_P[p], tokens_P[p + 1], tokens_P[p + 2], tokens_P[p + 3]
            tokens = (x_ND[t0], x_ND[t1], x_ND[t2], x_ND[t3])
            for w in range(0, in_fours, 4):
                rows = (rows_MWD[m, w], rows_MWD[m, w + 1], rows_MWD[m, w + 2], rows_MWD[m, w + 3])
                _dot_four(tokens, rows, out_PW, p, w)
            for w in range(in_fours, width):
                for i in range(4):
                    out_PW[p + i, w] += _dot(x_ND[tokens_P[p + i]], rows_MWD[m, w])
            p += 4
        while p < end:
            for w in range(width):
                out_PW[p, w] += _dot(x_ND[tokens_P[p]], rows_MWD[m, w])
            p += 1


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
    in_eights = width - width % 8
    numbers_W = np.arange(width)
    for m in range(num_experts):
        first, last = firsts_M1[m], firsts_M1[m + 1]
        for start in range(0, depth, _COLUMNS):
            end = min(depth, start + _COLUMNS)
            for w in range(0, in_eights, 8):
                rows = _eight(rows_MWD[m], numbers_W[w : w + 8], start, end)
                _add_eight(out_ND, tokens_P[first:last], start, factors_PW[first:last, w : w + 8], rows)
            for w in range(in_eights, width):
                for p in range(first, last):
                    _add(out_ND[tokens_P[p], start:], factors_PW[p, w], rows_MWD[m, w, start:end])


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
        in_eights = last - (last - first) % 8
        for start in range(0, depth, _COLUMNS):
            end = min(depth, start + _COLUMNS)
            for p in range(first, in_eights, 8):
                tokens = _eight(x_ND, tokens_P[p : p + 8], start, end)
                _add_eight(out_MWD[m], numbers_W, start, factors_PW[p : p + 8].T, tokens)
            for p in range(in_eights, last):
                for w in range(width):
                    _add(out_MWD[m, w, start:], factors_PW[p, w], x_ND[tokens_P[p], start:end])
