"""Uploaded bytes to pieces that the model can take, measured, or one sentence on why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mome.errors import MediaError, NotFiniteError, TooLongError
from mome.modalities import needed, readings
from mome.records import Modality
from mome.scales import Scale
from mome.speech.audio import SAMPLES_PER_AUDIO_FRAME
from mome.speech.faces.models import CASCADE, FaceModels
from mome.speech.media import Clip, read_file
from mome.speech.stretches import claimed_s, read_stretches
from mome.speech.utterances import cut
from serving.errors import ApiError
from serving.features import Features, measure

__all__ = ["PART_S", "Decoded", "Piece", "Upload", "check_length", "decode"]

# What one answer holds at most: some batches of the model, and little memory. Lips take 150 times as long to
# find as sound to decode.
PART_S = 120.0
_PART_WITH_LIPS_S = 30.0
# The model has nothing to do until it comes; each that follows is half as long as all before it.
_FIRST_PART_S = 15.0


@dataclass(frozen=True)
class Upload:
    """What is to be decoded, and for which reading.

    Args:
        files: Name -> bytes, or where they are: ``file``, and ``video`` when that was sent too. A lone
            ``file`` may be sound, video, or video with sound.
        scales: Those that the model reads at.
        known: What the model was made to read.
        max_piece_s: Longest clip that the model reads at once.
        good_piece_s: About as long as those that it was judged on.
        max_duration_s: Longest recording.
        face_models: That cut out the mouths that the model was taught on.
    """

    files: Mapping[str, bytes | Path]
    scales: Sequence[Scale]
    known: Sequence[Modality]
    max_piece_s: float
    good_piece_s: float
    max_duration_s: float
    face_models: FaceModels = CASCADE


class Piece(NamedTuple):
    """A clip that the model can take, when it begins in the recording, and what was measured on it."""

    start_s: float
    clip: Clip
    features: Features


@dataclass(frozen=True, eq=False)
class Decoded:
    """The next part of a recording.

    Args:
        pieces: In order; none where nobody speaks.
        until_s: So much of the recording is decoded now.
        of_s: How long the file says that it is; None if it does not.
        ended: Nothing follows.
    """

    pieces: tuple[Piece, ...]
    until_s: float
    of_s: float | None
    ended: bool


def decode(upload: Upload) -> Iterator[Decoded]:
    """Decode a recording, drop what the model does not read, and measure the rest.

    What the model takes at once is one piece, as it is; what is longer is cut at its pauses, and comes in
    several parts.

    Raises:
        ApiError: If it cannot be decoded, holds NaN or infinity, is too long or too short, or holds
            nothing that the model reads.
    """
    try:
        yield from _decoded(upload)
    except MediaError as error:
        if isinstance(error.__cause__, MemoryError):  # the limit is the service's, which says so
            raise error.__cause__ from None
        code = "not_finite" if isinstance(error, NotFiniteError) else "undecodable_media"
        raise ApiError(_without_paths(str(error), upload), param="file", code=code) from error


def _decoded(upload: Upload) -> Iterator[Decoded]:
    limit_s = min(upload.max_piece_s, upload.max_duration_s)
    try:
        clip = read_file(upload.files["file"], upload.files.get("video"), limit_s, upload.face_models)
    except TooLongError:
        if limit_s < upload.max_piece_s:
            raise _too_long(upload) from None
    else:
        clip = _usable(clip, upload.known)
        check_length(clip, upload.scales)
        duration_s = clip.duration_s
        yield Decoded((Piece(0.0, clip, measure(clip)),), duration_s, duration_s, ended=True)
        return
    try:
        yield from _in_parts(upload)
    except TooLongError:
        raise _too_long(upload) from None


def _in_parts(upload: Upload) -> Iterator[Decoded]:
    file, video = upload.files["file"], upload.files.get("video")
    of_s = claimed_s(file)
    stretches = read_stretches(file, video, needed(upload.known), upload.max_duration_s, upload.face_models)
    pieces: list[Piece] = []
    part_began_s = until_s = 0.0
    for until_s, found in cut(stretches, upload.max_piece_s, upload.good_piece_s):
        for start_s, clip in found:
            if reads := readings(upload.known, clip.modality):
                usable = clip.only(reads[0])
                pieces.append(Piece(start_s, usable, measure(usable)))
        has_lips = any(piece.clip.mouth is not None for piece in pieces)
        most_s = _PART_WITH_LIPS_S if has_lips else PART_S
        if until_s - part_began_s >= min(most_s, max(_FIRST_PART_S, part_began_s / 2)):
            yield Decoded(tuple(pieces), until_s, of_s, ended=False)
            pieces, part_began_s = [], until_s
    yield Decoded(tuple(pieces), until_s, until_s, ended=True)


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


def _too_long(upload: Upload) -> ApiError:
    return ApiError(
        f"the recording is longer than {upload.max_duration_s:g} s, the most that is taken",
        param="file",
        code="too_long",
    )


def _without_paths(message: str, upload: Upload) -> str:
    """Say of a file what is said of bytes: where it was put is nobody's business."""
    for content in upload.files.values():
        if isinstance(content, Path) and content.exists():
            message = message.replace(str(content), f"recording of {content.stat().st_size} bytes")
    return message
