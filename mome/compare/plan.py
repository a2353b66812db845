"""Which models are trained: each method in its own terms, all of them on the same utterances."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mome.compare.rank import llm_width, nearest_rank, size_beside
from mome.config import TrainParams
from mome.errors import ConfigError
from mome.methods import METHODS, MethodName
from mome.modalities import distinct_scales
from mome.model.adaptation import width_std
from mome.scales import Scale

__all__ = [
    "DEFAULT_METHODS",
    "REFERENCE",
    "SNRS_DB",
    "base_params",
    "begin_with",
    "models_of",
    "published",
    "seeded",
    "sequences_each",
]

# In the order of the slides (model facts 8.1).
DEFAULT_METHODS: tuple[MethodName, ...] = (
    "llama-avsr", "mtsk-ms", "mtsk-ss", "mtsk-mss", "mome-mhsa-i", "mome-ffn", "mome-mhsa", "mome-layer",
)  # fmt: skip
REFERENCE: MethodName = "mome-layer"  # all positions of the experts have the same count
SNRS_DB: tuple[float, ...] = (7.5, 5.0, 2.5, 0.0, -5.0)  # babble (model facts 8.2)

_SCALING, _RANK, _WIDTH = 0.125, 64, 2048  # of LoRA beside Llama-3.2-1B (model facts 5.1)


def base_params(params: TrainParams) -> TrainParams:
    """Return what all methods share, once it is sure that each can be given the same.

    Raises:
        ConfigError: If a step cannot hold the same utterances for every method, or sound and lips together,
            which the tables are of, are not trained.
    """
    if "av" not in params.task_weights:
        raise ConfigError(
            f"train.task_weights has {', '.join(params.task_weights)}, expected av among them: the tables "
            "are of sound and lips together"
        )
    if params.batch_frames:
        raise ConfigError(
            f"train.batch_frames is {params.batch_frames}, expected 0: filled by frames, a step of a method "
            "of one scale would hold other utterances than a step of a joint one"
        )
    if params.batch_size % sequences_each(params):
        raise ConfigError(
            f"train.batch_size is {params.batch_size}, expected a multiple of {sequences_each(params)}, the "
            "sequences as which an utterance is read: else a step would not hold a whole number of utterances"
        )
    return params


def sequences_each(params: TrainParams) -> int:
    """Return as how many sequences an utterance is read in a step: each task at each of its rates."""
    count = 1 if METHODS[params.method].sampled else len(params.scales)
    scales = [Scale.parse(scale) for scale in params.scales[:count]]
    return sum(len(distinct_scales(scales, task)) for task in params.task_weights)


def models_of(base: TrainParams, method: MethodName, foundation: Path) -> list[TrainParams]:
    """Return the parameters of every model that a method trains: one, or one for each scale.

    A step reads the same number of utterances whatever the method: at one scale where one is trained, and at
    every one where all are. So the same steps are the same epochs, as in the papers.
    LoRA's rank is the one whose active parameters are nearest to those of MoME.
    """
    utterances = base.batch_size // sequences_each(base)
    parts = [[scale] for scale in base.scales] if METHODS[method].one_scale else [base.scales]
    models = []
    for scales in parts:
        top_k = base.top_k if isinstance(base.top_k, int) else {scale: base.top_k[scale] for scale in scales}
        model = base.model_copy(update={"method": method, "scales": scales, "top_k": top_k})
        models.append(model.model_copy(update={"batch_size": utterances * sequences_each(model)}))
    if METHODS[method].lora:
        active = size_beside(foundation, base.model_copy(update={"method": REFERENCE})).active
        rank = nearest_rank(foundation, models[0], active)
        models = [model.model_copy(update={"lora_rank": rank}) for model in models]
    return [published(model, llm_width(foundation)) for model in models]


def published(params: TrainParams, width: int) -> TrainParams:
    """Return the parameters with the published strength of the method's adapters, for an LLM of this width.

    What LoRA adds at its start has a standard deviation of ``scaling * sqrt(rank * width) * std**2`` of its
    input's: the factor is the one with which that is what it is beside Llama-3.2-1B. What an expert adds
    depends on the width only through what is inside of it (`width_std`).
    """
    if METHODS[params.method].lora:
        scaling = _SCALING * (_RANK * _WIDTH / (params.lora_rank * width)) ** 0.5
        return params.model_copy(update={"lora_scaling": round(scaling, 4), "init_std": "llm"})
    return params.model_copy(update={"init_std": round(width_std(width), 4)})


def begin_with(params: TrainParams, factor: float) -> TrainParams:
    """Return the parameters with what the adapters add at the start multiplied by ``factor``."""
    if METHODS[params.method].lora:
        return params.model_copy(update={"lora_scaling": params.lora_scaling * factor})
    assert isinstance(params.init_std, float)
    # Both matrices of an expert are drawn with it.
    return params.model_copy(update={"init_std": params.init_std * factor**0.5})


def seeded(models: Sequence[TrainParams], seeds: Sequence[int]) -> list[TrainParams]:
    """Return every model with every seed, seed by seed: the time left is then soon well known."""
    return [model.model_copy(update={"seed": seed}) for seed in seeds for model in models]
