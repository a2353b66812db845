"""Uploaded bytes to a clip that the model can take, measured, or one sentence on why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mome.errors import MediaError
from mome.modalities import readings
from mome.records import Modality
from mome.scales import Scale
from mome.speech.audio import SAMPLES_PER_AUDIO_FRAME
from mome.speech.media import Clip, read_file
from serving.errors import ApiError
from serving.features import Features, measure

__all__ = ["Decoded", "Upload", "check_length", "decode"]


@dataclass(frozen=True)
class Upload:
    """What is to be decoded, and for which reading.

    Args:
        files: Name -> bytes: ``file``, and ``video`` when that was sent too. A lone ``file`` may be
            sound, video, or video with sound.
        scales: Those that the model reads at.
        known: What the model was made to read.
        max_duration_s: Longest recording.
    """

    files: Mapping[str, bytes]
    scales: Sequence[Scale]
    known: Sequence[Modality]
    max_duration_s: float


@dataclass(frozen=True, eq=False)
class Decoded:
    """A clip that the model can take, and what was measured on it."""

    clip: Clip
    features: Features


def decode(upload: Upload) -> Decoded:
    """Decode a recording, drop what the model does not read, and measure the rest.

    Raises:
        ApiError: If it cannot be decoded, holds NaN or infinity, is too long or too short, or holds
            nothing that the model reads.
    """
    clip = _usable(_read(upload), upload.known)
    check_length(clip, upload.scales)
    return Decoded(clip, measure(clip))


def check_length(clip: Clip, scales: Sequence[Scale]) -> None:
    """Refuse a clip that would not fill one token at any scale; a coarser one gets it with silence behind.

    Raises:
        ApiError: If a modality has fewer encoder frames than the finest scale pools into one token.
    """
    counts = []
    if clip.samples is not None:
        rate = min(scale.audio_rate for scale in scales)
        counts.append(("audio", len(clip.samples) // SAMPLES_PER_AUDIO_FRAME, rate))
    if clip.mouth is not None:
        counts.append(("video", len(clip.mouth), min(scale.video_rate for scale in scales)))
    for modality, frames, rate in counts:
        if frames < rate:
            raise ApiError(
                f"the recording is too short: {frames} {modality} frames ({clip.duration_s:.3f} s), and the"
                f" finest scale pools {rate} into one token",
                param="file",
                code="too_short",
            )


def _read(upload: Upload) -> Clip:
    try:
        clip = read_file(upload.files["file"], upload.files.get("video"))
    except MediaError as error:
        if isinstance(error.__cause__, MemoryError):  # the limit is the service's, which says so
            raise error.__cause__ from None
        raise ApiError(str(error), param="file", code="undecodable_media") from error
    if clip.samples is not None and not np.isfinite(clip.samples).all():
        raise ApiError(
            "the sound holds NaN or infinity; expected finite samples", param="file", code="not_finite"
        )
    if clip.duration_s > upload.max_duration_s:
        raise ApiError(
            f"the recording lasts {clip.duration_s:.1f} s; at most {upload.max_duration_s:g} s are taken",
            param="file",
            code="too_long",
        )
    return clip


def _usable(clip: Clip, known: Sequence[Modality]) -> Clip:
    """Drop what the model was not trained to read; refuse a clip of which nothing is left."""
    reads = readings(known, clip.modality)
    if reads:
        return clip.only(reads[0])
    raise ApiError(
        f"this model was not made for {clip.modality} recordings; it takes {', '.join(known)}",
        param="file",
        code="unsupported_modality",
    )
