"""How much the choice of an expert says of what a token is: mutual information, and lift expert by expert."""

# Shape letters: V values of a factor, L layers, E routed experts.

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import FiniteFloat
from scipy.special import rel_entr
from scipy.stats import entropy

from mome.evaluation.routing.factors import Counts
from mome.records import Record

__all__ = ["Association", "associate"]


class Association(Record):
    """What the experts of each layer have to do with one thing in which tokens differ."""

    factor: str
    tokens: str  # which were looked at
    values: list[str]
    num_tokens: list[int]  # of each value
    # Of a token's value, by one of the experts that it chose; at most `entropy_bits`.
    information_bits: list[FiniteFloat]  # by layer
    # Of independent tokens without any association. Those of one clip are alike: it is the least.
    chance_bits: FiniteFloat
    entropy_bits: FiniteFloat  # of the factor
    # [layer][value][expert]: how many times as often tokens of this value chose the expert as all tokens did.
    lift: list[list[list[FiniteFloat]]]


def associate(counts: Counts) -> Association:
    """Return what choosing an expert says of a factor.

    A selection is drawn, and with it a value and an expert: what one tells of the other is their mutual
    information. That of so many selections without association is, on average,
    ``(V - 1)(E - 1) / (2 n ln 2)`` (Miller, 1955).

    Args:
        counts: Of one factor, with at least two values that tokens have.
    """
    joint_LVE = counts.chosen_VLE.swapaxes(0, 1)
    joint_LVE = joint_LVE / joint_LVE.sum(axis=(1, 2), keepdims=True)
    values_LV1 = joint_LVE.sum(axis=2, keepdims=True)
    experts_L1E = joint_LVE.sum(axis=1, keepdims=True)
    independent_LVE = values_LV1 * experts_L1E
    bits_L = rel_entr(joint_LVE, independent_LVE).sum(axis=(1, 2)) / math.log(2)
    num_values, _, num_experts = counts.chosen_VLE.shape
    # The experts of one token are not drawn one by one: there are as many draws as tokens.
    chance = (num_values - 1) * (num_experts - 1) / (2 * int(counts.tokens_V.sum()) * math.log(2))
    return Association(
        factor=counts.factor,
        tokens=counts.tokens,
        values=list(counts.values),
        num_tokens=counts.tokens_V.tolist(),
        information_bits=np.maximum(bits_L, 0).tolist(),
        chance_bits=chance,
        entropy_bits=float(entropy(values_LV1[0, :, 0], base=2)),
        lift=_lift(joint_LVE, independent_LVE).tolist(),
    )


def _lift(joint: NDArray[np.float64], independent: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return their quotient; an expert that nobody chose is as frequent everywhere."""
    return np.divide(joint, independent, out=np.ones_like(joint), where=independent > 0)
