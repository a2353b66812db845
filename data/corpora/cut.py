"""Parts of long recordings as recordings of their own: cut at frames of the picture, sound with it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from data.corpora.raw import VIDEO_SUFFIXES, MediaFile, RawMedia
from mome.errors import MediaError
from mome.speech.audio import Audio, encode_flac, read_audio
from mome.speech.container import has_picture
from mome.speech.video import Frames, encode_mouth, read_video, to_25_fps

__all__ = ["FRAMES_PER_SECOND", "Cutter", "Span"]

FRAMES_PER_SECOND = 25
_LONGEST_S = 3600.0  # of a recording that is cut: a talk, or a chapter


class Span(NamedTuple):
    """A part of a recording, in seconds from its first frame, or from its first sample without picture."""

    start_s: float
    end_s: float


class _Whole(NamedTuple):
    audio: Audio
    frames: Frames | None
    origin_s: float  # of its clock


class Cutter:
    """Cuts parts out of recordings; the last recording stays decoded, for its parts come one by one.

    Sound becomes FLAC at its own rate, mono; the picture gray H.264 at 25 frames a second.
    """

    def __init__(self) -> None:
        self._held: tuple[Path, Path | None] | None = None
        self._whole: _Whole | None = None

    def cut(self, audio: Path, video: Path | None, span: Span) -> RawMedia:
        """Return a part; why it cannot be had becomes its ``problem``."""
        try:
            return self._cut(audio, video, span)
        except MediaError as error:
            return RawMedia(None, None, str(error))
        except OSError as error:
            return RawMedia(None, None, f"{audio.name}: {(error.strerror or str(error)).lower()}")

    def _cut(self, audio: Path, video: Path | None, span: Span) -> RawMedia:
        if self._held != (audio, video) or self._whole is None:
            self._whole = None  # before the next one: two may not fit into memory
            self._whole, self._held = _decoded(audio, video), (audio, video)
        whole = self._whole
        first, last = _frame_numbers(span)
        rate = whole.audio.sampling_rate
        delay_s = whole.audio.start_s - whole.origin_s
        start, end = (
            max(0, round((number / FRAMES_PER_SECOND - delay_s) * rate)) for number in (first, last)
        )
        samples = whole.audio.samples[start:end]
        frames = None if whole.frames is None else whole.frames[first:last]
        if not len(samples) or (frames is not None and not len(frames)):
            held_s = len(whole.audio.samples) / rate
            raise MediaError(
                f"{audio.name}: the part from {span.start_s:g} to {span.end_s:g} s is not in it; it has "
                f"{held_s:g} s"
            )
        return RawMedia(
            MediaFile(".flac", encode_flac(samples, rate)),
            None if frames is None else MediaFile(".mp4", encode_mouth(frames)),
        )


def _decoded(audio: Path, video: Path | None) -> _Whole:
    sound = read_audio(audio, _LONGEST_S)
    if video is None and audio.suffix.lower() in VIDEO_SUFFIXES and has_picture(audio):
        video = audio
    if video is None:
        return _Whole(sound, None, sound.start_s)
    picture = read_video(video, _LONGEST_S)
    return _Whole(sound, to_25_fps(picture), picture.start_s if video == audio else sound.start_s)


def _frame_numbers(span: Span) -> tuple[int, int]:
    """Return the first frame and the one behind the last; a border within a frame takes it whole."""
    rounding = 1e-6  # 0.28 s * 25 is a little more than 7
    return (
        math.floor(span.start_s * FRAMES_PER_SECOND + rounding),
        math.ceil(span.end_s * FRAMES_PER_SECOND - rounding),
    )
