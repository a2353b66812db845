"""Which models are trained, with which parameters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mome.compare.rank import nearest_rank, size_beside
from mome.config import TrainParams
from mome.errors import ConfigError
from mome.methods import METHODS, MethodName
from mome.scales import Scale

__all__ = ["DEFAULT_METHODS", "REFERENCE", "SNRS_DB", "base_params", "noisy_scales", "plan"]

# In the order of the slides (model facts 8.1).
DEFAULT_METHODS: tuple[MethodName, ...] = (
    "llama-avsr", "mtsk-ms", "mtsk-ss", "mtsk-mss", "mome-mhsa-i", "mome-ffn", "mome-mhsa", "mome-layer",
)  # fmt: skip
REFERENCE: MethodName = "mome-layer"  # all positions of the experts have the same count
SNRS_DB: tuple[float, ...] = (7.5, 5.0, 2.5, 0.0, -5.0)  # babble (model facts 8.2)


def base_params(params: TrainParams, steps: int | None = None) -> TrainParams:
    """Return what all methods share: sound and lips together alone, as in the papers' tables.

    Raises:
        ConfigError: If a step cannot hold the same number of sequences for every method.
    """
    if params.batch_frames:
        raise ConfigError(
            f"train.batch_frames is {params.batch_frames}, expected 0: filled by frames, a step of a method "
            "of one scale would hold fewer sequences than a step of a joint one"
        )
    if params.batch_size % len(params.scales):
        raise ConfigError(
            f"train.batch_size is {params.batch_size}, expected a multiple of the {len(params.scales)} "
            "scales: else methods of one scale and of all would see different numbers of sequences"
        )
    changed: dict[str, object] = {"task_weights": {"av": 1.0}}
    if steps is not None:
        changed["steps"] = steps
    return params.model_copy(update=changed)


def noisy_scales(params: TrainParams) -> tuple[str, ...]:
    """Return the finest and the coarsest scale, at which noise is measured."""
    ordered = sorted(params.scales, key=lambda scale: -Scale.parse(scale).tokens_per_second)
    return tuple(dict.fromkeys((ordered[0], ordered[-1])))


def plan(
    base: TrainParams, foundation: Path, methods: Sequence[MethodName], seeds: Sequence[int]
) -> list[TrainParams]:
    """Return the parameters of every model to train, seed by seed: the time left is then soon well known.

    LoRA's rank is the one whose active parameters are nearest to those of MoME.
    """
    reference = base.model_copy(update={"method": REFERENCE})
    active = size_beside(foundation, reference).active
    jobs: dict[MethodName, list[TrainParams]] = {}
    for method in methods:
        parts = [[scale] for scale in base.scales] if METHODS[method].one_scale else [base.scales]
        jobs[method] = [_for(base, method, scales) for scales in parts]
        if METHODS[method].lora:
            rank = nearest_rank(foundation, jobs[method][0], active)
            jobs[method] = [job.model_copy(update={"lora_rank": rank}) for job in jobs[method]]
    return [job.model_copy(update={"seed": seed}) for seed in seeds for some in jobs.values() for job in some]


def _for(base: TrainParams, method: MethodName, scales: list[str]) -> TrainParams:
    top_k = base.top_k if isinstance(base.top_k, int) else {scale: base.top_k[scale] for scale in scales}
    return base.model_copy(update={"method": method, "scales": scales, "top_k": top_k})
