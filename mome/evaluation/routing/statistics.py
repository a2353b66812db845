"""How far apart the choices of experts are: between scales in a layer, and between layers at a scale."""

# Shape letters: S scales, L layers, E routed experts, P pairs of what is compared.

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from itertools import combinations

import numpy as np
from pydantic import FiniteFloat
from scipy.spatial.distance import squareform
from scipy.special import rel_entr

from mome.evaluation.routing.association import Association
from mome.evaluation.routing.selections import Selections
from mome.records import Modality, Record, ScaleText
from mome.scales import Scale

__all__ = ["Distance", "RoutingStatistics", "ScaleRouting", "summarise"]


class ScaleRouting(Record):
    """Which experts the tokens of one scale chose."""

    scale: ScaleText
    tokens: int  # that were routed, per layer
    tokens_per_expert: list[list[FiniteFloat]]  # [layer][expert]: share of the selections; a layer sums to 1


class Distance(Record):
    """Jensen-Shannon distances, base 2: 0 is the same use of the experts, 1 is no expert in common."""

    mean: FiniteFloat
    max: FiniteFloat
    between: str  # which two are farthest apart


class RoutingStatistics(Record):
    """Expert use per scale and layer, and how well the scales agree on it.

    The claim of MoME is that ``between_scales`` is small and ``between_layers`` is large: one layer
    uses the same experts at every scale.
    """

    corpus: str
    revision: str
    modality: Modality
    utterances: int
    scales: list[ScaleRouting]
    distance: dict[ScaleText, dict[ScaleText, FiniteFloat]]  # between two scales, mean over layers
    between_scales: Distance | None  # of the same layer, trained scales; None with a single one
    between_layers: Distance | None  # of the same scale; None with a single layer
    untrained: list[ScaleText]  # of the scales
    wer: dict[ScaleText, FiniteFloat]  # clean, of the modality; nothing without an evaluation
    answers: list[Association]  # what the choice of an expert says of a token


def summarise(
    selections: Sequence[Selections],
    corpus: str,
    revision: str,
    modality: Modality,
    utterances: int,
    *,
    trained: Container[Scale] | None = None,
    wer: Mapping[ScaleText, float] | None = None,
    answers: Sequence[Association] = (),
) -> RoutingStatistics:
    """Compare the use of experts between scales within each layer, and between layers within each scale.

    Args:
        selections: One per scale, of the same model.
        corpus, revision, modality, utterances: What was counted on.
        trained: Scales of the model; None for all.
        wer: Word error rate of each scale, where it is known.
        answers: What the choice of an expert says of a token.

    Source: model facts 4.9.
    """
    names = [str(each.scale) for each in selections]
    shares_SLE = np.stack([each.tokens_per_expert_LE for each in selections])
    layers = range(1, shares_SLE.shape[1] + 1)
    scales_PL = _distances(shares_SLE)
    layers_PS = _distances(shares_SLE.swapaxes(0, 1))
    matrix_SS = squareform(scales_PL.mean(axis=1))
    is_trained = [trained is None or each.scale in trained for each in selections]
    pairs = list(combinations(range(len(names)), 2))
    of_trained = np.array([is_trained[one] and is_trained[other] for one, other in pairs], bool)
    return RoutingStatistics(
        corpus=corpus,
        revision=revision,
        modality=modality,
        utterances=utterances,
        scales=[
            ScaleRouting(
                scale=str(each.scale),
                tokens=each.num_tokens,
                tokens_per_expert=each.tokens_per_expert_LE.tolist(),
            )
            for each in selections
        ],
        distance={
            name: dict(zip(names, row, strict=True))
            for name, row in zip(names, matrix_SS.tolist(), strict=True)
        },
        between_scales=_farthest(
            scales_PL[of_trained],
            [
                f"{names[one]} and {names[other]} in layer {layer}"
                for (one, other), counts in zip(pairs, of_trained, strict=True)
                for layer in layers
                if counts
            ],
        ),
        between_layers=_farthest(
            layers_PS,
            [f"layers {a} and {b} at {name}" for a, b in combinations(layers, 2) for name in names],
        ),
        untrained=[name for name, each in zip(names, is_trained, strict=True) if not each],
        wer=dict(wer or {}),
        answers=list(answers),
    )


def _distances(shares: np.ndarray) -> np.ndarray:
    """Return the distances ``(P, ...)`` of each pair along the first axis, shares ``(..., E)`` each.

    Pairs come in the order of `itertools.combinations`.
    """
    one, other = (shares[index] for index in np.triu_indices(len(shares), 1))
    middle = (one + other) / 2
    divergence = (rel_entr(one, middle) + rel_entr(other, middle)).sum(axis=-1) / (2 * math.log(2))
    # Rounding can put almost equal shares below zero; SciPy's own jensenshannon says NaN for those.
    return np.sqrt(np.maximum(divergence, 0))


def _farthest(distances: np.ndarray, pairs: Sequence[str]) -> Distance | None:
    if not distances.size:
        return None
    at = int(distances.argmax())
    return Distance(mean=float(distances.mean()), max=float(distances.flat[at]), between=pairs[at])
