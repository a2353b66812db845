"""Every clip in every condition: all modalities, scales and noise levels, decoded once each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mome.errors import EvaluationError
from mome.estimated_wer import doubt
from mome.modalities import distinct_scales, readings
from mome.model.avsr import AVSRModel, Features, Task
from mome.progress import progress
from mome.reading import Kept
from mome.records import MODALITY_NAMES, Decoding, Modality, TestedNoise, condition_key
from mome.scales import Scale

__all__ = ["Decoded", "Level", "NoisyFeatures", "decode_all", "readings_of"]

Heard = dict[int, Features]  # by the number of the clip


@dataclass(frozen=True)
class Level:
    """One evaluated noise: what is mixed in, and at which ratio; None and None are clean."""

    noise: TestedNoise | None
    snr_db: float | None

    @property
    def key(self) -> str:
        """Its column in the word error table."""
        return condition_key(self.noise, self.snr_db)


NoisyFeatures = dict[Level, Heard]


@dataclass(frozen=True)
class Decoded:
    """What the model wrote for the clips of one condition."""

    modality: Modality
    scale: Scale
    level: Level
    hypotheses: dict[int, str]  # by the number of the clip, in order
    doubts: dict[int, float | None]  # likewise: `mome.estimated_wer.doubt` of each


@dataclass(frozen=True)
class _Condition:
    """A distinct decoding: scales that differ only in a rate that is not used share it, and so do levels."""

    modality: Modality
    scales: tuple[Scale, ...]
    levels: tuple[Level, ...]
    clips: Heard


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
    model: AVSRModel,
    features: NoisyFeatures,
    durations_s: Sequence[float],
    decoding: Decoding,
    scales: Sequence[Scale],
    *,
    batch_size: int,
) -> list[Decoded]:
    """Decode the clips of every noise level for every trained modality they have and every given scale.

    Sound alone does not depend on the video rate, and silent video not on the noise: each distinct
    decoding is done once and reported wherever it applies.

    Args:
        model: The recogniser.
        features: Of the clips that are heard at each noise level.
        durations_s: Of every clip, by its number.
        decoding: How texts are written.
        scales: That the model reads, trained or not.
        batch_size: Clips per pass.
    """
    conditions = list(_conditions(model, features, scales))
    work = [(condition, batch) for condition in conditions for batch in _batches(condition.clips, batch_size)]
    decoded: list[Decoded] = []
    texts: dict[int, tuple[str, float | None]] = {}
    for condition, batch in progress(work, "decode"):
        tasks = [
            Task(condition.clips[index].only(condition.modality), condition.scales[0]) for index in batch
        ]
        budgets = [decoding.budget(durations_s[index]) for index in batch]
        kept = [Kept() for _ in batch]
        model.read(tasks, budgets, kept, decoding.num_beams)
        texts |= {
            index: (each.text.text, doubt(each.text.tokens)) for index, each in zip(batch, kept, strict=True)
        }
        if len(texts) == len(condition.clips):
            decoded += [
                Decoded(
                    condition.modality,
                    scale,
                    level,
                    {index: texts[index][0] for index in sorted(features[level])},
                    {index: texts[index][1] for index in sorted(features[level])},
                )
                for scale in condition.scales
                for level in condition.levels
            ]
            texts = {}
    return sorted(decoded, key=lambda d: (d.modality, str(d.scale), d.level.key))


def _conditions(model: AVSRModel, features: NoisyFeatures, scales: Sequence[Scale]) -> Iterator[_Condition]:
    everything: Heard = {}
    for clips in features.values():
        everything = clips | everything
    any_clip = next(iter(everything.values()))
    for modality in readings(model.modalities, any_clip.modality):
        for alike in distinct_scales(scales, modality):
            if modality == "video":
                yield _Condition(modality, alike, tuple(features), everything)
            else:
                yield from (_Condition(modality, alike, (level,), clips) for level, clips in features.items())


def _batches(clips: Heard, batch_size: int) -> list[list[int]]:
    order = sorted(clips, key=lambda index: _length(clips[index]))  # clips of one length waste no padding
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def _length(clip: Features) -> int:
    there = clip.audio_TC if clip.audio_TC is not None else clip.video_TC
    assert there is not None  # a clip holds one of the two
    return len(there)
