"""What a clip can be read as: which modalities a model was trained for, and which scales differ for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mome.records import MODALITY_NAMES, Modality
from mome.scales import Scale, nearest_rate

__all__ = ["distinct_scales", "nearest_scale", "needed", "readings"]


def readings(trained: Iterable[Modality], there: Modality) -> tuple[Modality, ...]:
    """Return what a clip can be read as, the richest first; nothing if the two have nothing in common.

    Args:
        trained: What the model was trained for.
        there: What the clip holds; both together can be read as one of them, too.
    """
    known = set(trained)
    return tuple(each for each in MODALITY_NAMES if each in known and there in ("av", each))


def needed(modalities: Iterable[Modality]) -> Modality:
    """Return what a clip must hold to be read as all of these."""
    known = set(modalities)
    return known.pop() if len(known) == 1 else "av"


def distinct_scales(scales: Sequence[Scale], modality: Modality) -> list[tuple[Scale, ...]]:
    """Return the scales in groups that read a modality alike, in the order given.

    The video rate is nothing to sound alone, and the audio rate nothing to lips: scales that differ in
    it are one and the same reading.
    """
    groups: dict[tuple[int | None, int | None], list[Scale]] = {}
    for scale in scales:
        audio_rate = None if modality == "video" else scale.audio_rate
        video_rate = None if modality == "audio" else scale.video_rate
        groups.setdefault((audio_rate, video_rate), []).append(scale)
    return [tuple(group) for group in groups.values()]


def nearest_scale(scale: Scale, trained: Sequence[Scale], modality: Modality) -> Scale:
    """Return the trained scale that stands in for another where a modality is read; itself if it is one.

    Of the rates that the modality uses, the audio rate is matched first (`mome.scales.nearest_rate`).

    Args:
        scale: Any.
        trained: Of a model, at least one.
        modality: That is read.
    """
    if scale in trained:
        return scale
    left = list(trained)
    if modality != "video":
        rate = nearest_rate(scale.audio_rate, [each.audio_rate for each in left])
        left = [each for each in left if each.audio_rate == rate]
    if modality != "audio":
        rate = nearest_rate(scale.video_rate, [each.video_rate for each in left])
        left = [each for each in left if each.video_rate == rate]
    return left[0]
