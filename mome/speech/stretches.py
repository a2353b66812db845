"""A recording of any length, a few seconds of sound and lips at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from av import AudioStream, VideoStream

from mome.records import Modality
from mome.scales import VIDEO_FRAMES_PER_SECOND
from mome.speech.audio import SAMPLING_RATE, stream_audio
from mome.speech.container import decoding, has_picture, name_of, open_container, promised_s
from mome.speech.faces.models import CASCADE, FaceModels
from mome.speech.media import check_finite, from_one_moment, has_sound, no_face, together_s
from mome.speech.mouth import MOUTH_SIZE, find_mouth
from mome.speech.video import stream_video

__all__ = ["SAMPLES_PER_FRAME", "Stretch", "claimed_s", "read_stretches"]

SAMPLES_PER_FRAME = SAMPLING_RATE // VIDEO_FRAMES_PER_SECOND  # 640 of a mouth frame
_SIZE = (MOUTH_SIZE, MOUTH_SIZE)

Samples = npt.NDArray[np.float32]
Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Stretch:
    """What comes next of a recording; at least one of sound and lips is there.

    Args:
        samples: Mono ``(N,)`` float32 at 16 kHz; None in a recording without sound.
        mouth: Gray mouth video ``(T, 96, 96)`` uint8 at 25 fps, N = 640 T; None where there is no video.
        found: Whether there is a face in these frames.
    """

    samples: Samples | None
    mouth: Frames | None
    found: bool = False


class _Lips(NamedTuple):
    frames: Frames
    found: bool
    start_s: float


def read_stretches(
    file: Path | bytes,
    video: Path | bytes | None,
    known: Modality,
    longest_s: float,
    face_models: FaceModels = CASCADE,
) -> Iterator[Stretch]:
    """Decode a recording from its beginning to its end; sound and lips keep time as in `read_recording`.

    Args:
        file: Sound, video, or video with sound.
        video: The face or the mouth, where it is another file.
        known: What of it is wanted: ``av`` for both.
        longest_s: Of the whole.
        face_models: That find the mouth.

    Raises:
        MediaError: As `read_recording`, and if lips alone are read and there is no face.
        TooLongError: When more than ``longest_s`` were read.
        NotFiniteError: When sound comes that holds NaN or infinity.
    """
    for stretch in _stretches(file, video, known, longest_s, face_models):
        if stretch.samples is not None:
            check_finite(stretch.samples)
        yield stretch


def claimed_s(source: Path | bytes) -> float | None:
    """Return how long a file says that it is; None if it does not."""
    with open_container(source) as container:
        streams: list[AudioStream | VideoStream] = [
            *container.streams.audio[:1],
            *container.streams.video[:1],
        ]
        return max((promised_s(source, container, stream) for stream in streams), default=0.0) or None


def _stretches(
    file: Path | bytes,
    video: Path | bytes | None,
    known: Modality,
    longest_s: float,
    face_models: FaceModels,
) -> Iterator[Stretch]:
    picture = video if video is not None else file if has_picture(file) else None
    sounds = file if picture is not file or has_sound(file) else None
    if known == "audio":
        picture = None
    if known == "video":
        sounds = None
    if picture is None:
        for sound in stream_audio(file, longest_s):
            yield Stretch(sound.samples, None)
    elif sounds is None:
        yield from _lips_alone(picture, longest_s, face_models)
    else:
        yield from _both(sounds, picture, longest_s, face_models)


def _lips_alone(picture: Path | bytes, longest_s: float, face_models: FaceModels) -> Iterator[Stretch]:
    anybody = False
    for lips in _lips(picture, longest_s, face_models):
        anybody |= lips.found
        yield Stretch(None, lips.frames, lips.found)
    if not anybody:
        raise no_face(picture)


def _both(
    sounds: Path | bytes, picture: Path | bytes, longest_s: float, face_models: FaceModels
) -> Iterator[Stretch]:
    sound, lips = stream_audio(sounds, longest_s), _lips(picture, longest_s, face_models)
    first, first_lips = next(sound), next(lips)
    late_s = together_s(first.start_s, first_lips.start_s) if sounds is picture else 0.0
    samples, mouth = from_one_moment(first.samples, first_lips.frames, late_s)
    found = first_lips.found
    while True:
        count = min(len(samples) // SAMPLES_PER_FRAME, len(mouth))
        if count:
            yield Stretch(samples[: count * SAMPLES_PER_FRAME], mouth[:count], found)
            samples, mouth = samples[count * SAMPLES_PER_FRAME :], mouth[count:]
        if len(mouth):
            more = next(sound, None)
            # Whoever goes on to be seen is no longer heard.
            heard = np.zeros(len(mouth) * SAMPLES_PER_FRAME, np.float32) if more is None else more.samples
            samples = np.concatenate((samples, heard))
            continue
        seen = next(lips, None)
        if seen is None:
            break
        mouth, found = seen.frames, seen.found
    if len(samples):
        yield Stretch(samples, None)
    for rest in sound:
        yield Stretch(rest.samples, None)


def _lips(picture: Path | bytes, longest_s: float, face_models: FaceModels) -> Iterator[_Lips]:
    for pictures in stream_video(picture, longest_s):
        if pictures.still:
            yield _Lips(np.zeros((len(pictures.frames), *_SIZE), np.uint8), False, pictures.start_s)
            continue
        with decoding(name_of(picture)):  # OpenCV has errors of its own
            track = find_mouth(pictures.frames, face_models)
        yield _Lips(track.frames, track.found_share > 0, pictures.start_s)
