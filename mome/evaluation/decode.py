"""Every test clip in every condition: all modalities, scales and noise levels, decoded once each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mome.errors import EvaluationError
from mome.modalities import distinct_scales, readings
from mome.model.avsr import AVSRModel, Features, Task
from mome.progress import progress
from mome.records import MODALITY_NAMES, Modality, snr_key
from mome.scales import Scale

__all__ = ["Decoded", "NoisyFeatures", "decode_all", "readings_of"]

NoisyFeatures = dict[float | None, list[Features]]  # per noise level, per clip


@dataclass(frozen=True)
class Decoded:
    """What the model wrote for every test clip in one condition."""

    modality: Modality
    scale: Scale
    snr_db: float | None
    hypotheses: list[str]


@dataclass(frozen=True)
class _Condition:
    """A distinct decoding: scales that differ only in a rate that is not used share it."""

    modality: Modality
    scales: tuple[Scale, ...]
    snrs_db: tuple[float | None, ...]


def readings_of(model: AVSRModel, there: Modality) -> tuple[Modality, ...]:
    """Return what clips that hold ``there`` can be read as by this model, the richest first.

    Raises:
        EvaluationError: If there is nothing.
    """
    reads = readings(model.modalities, there)
    if not reads:
        raise EvaluationError(
            f"the corpus has {MODALITY_NAMES[there]}, but the model was trained for "
            f"{', '.join(MODALITY_NAMES[modality] for modality in model.modalities)}"
        )
    return reads


def decode_all(
    model: AVSRModel, features: NoisyFeatures, *, batch_size: int, max_new_tokens: int, num_beams: int = 1
) -> list[Decoded]:
    """Decode all clips for every trained modality they have, every scale and every noise level.

    Sound alone does not depend on the video rate, and silent video not on the noise: each distinct
    decoding is done once and reported wherever it applies.

    Args:
        model: The recogniser.
        features: Of the same clips at each noise level, in the same order.
        batch_size: Clips per pass.
        max_new_tokens: Longest transcript, in tokens.
        num_beams: Hypotheses kept in parallel; the papers take 15.
    """
    first = next(iter(features.values()))
    conditions = list(_conditions(model, tuple(features), first[0]))
    order = np.argsort([_length(clip) for clip in first])  # clips of one length waste no padding
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    decoded: list[Decoded] = []
    work = [(condition, batch) for condition in conditions for batch in batches]
    texts: dict[int, str] = {}
    for condition, batch in progress(work, "decode"):
        clips = features[condition.snrs_db[0]]
        tasks = [Task(clips[index].only(condition.modality), condition.scales[0]) for index in batch]
        texts |= dict(zip(batch.tolist(), model.transcribe(tasks, max_new_tokens, num_beams), strict=True))
        if len(texts) == len(first):
            hypotheses = [texts[index] for index in range(len(first))]
            decoded += [
                Decoded(condition.modality, scale, snr_db, hypotheses)
                for scale in condition.scales
                for snr_db in condition.snrs_db
            ]
            texts = {}
    return sorted(decoded, key=lambda d: (d.modality, str(d.scale), snr_key(d.snr_db)))


def _conditions(model: AVSRModel, snrs_db: tuple[float | None, ...], clip: Features) -> Iterator[_Condition]:
    for modality in readings(model.modalities, clip.modality):
        for alike in distinct_scales(model.scales, modality):
            if modality == "video":
                yield _Condition(modality, alike, snrs_db)
            else:
                yield from (_Condition(modality, alike, (snr_db,)) for snr_db in snrs_db)


def _length(clip: Features) -> int:
    there = clip.audio_TC if clip.audio_TC is not None else clip.video_TC
    assert there is not None  # a clip holds one of the two
    return len(there)
