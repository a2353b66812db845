"""Segments as subtitles: SubRip (srt) and WebVTT (vtt)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Segment", "srt", "vtt"]


class Segment(NamedTuple):
    """A text and when it is said, in seconds."""

    start_s: float
    end_s: float
    text: str


def srt(segments: Sequence[Segment]) -> str:
    """Return numbered captions with times as 00:00:01,500."""
    return "".join(
        f"{number}\n{_time(segment.start_s, ',')} --> {_time(segment.end_s, ',')}\n{segment.text}\n\n"
        for number, segment in enumerate(segments, 1)
    )


def vtt(segments: Sequence[Segment]) -> str:
    """Return captions with times as 00:00:01.500; the three characters of markup are written as entities."""
    captions = (
        f"{_time(segment.start_s, '.')} --> {_time(segment.end_s, '.')}\n{_plain(segment.text)}\n\n"
        for segment in segments
    )
    return "WEBVTT\n\n" + "".join(captions)


def _time(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return (
        f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d}{point}{milliseconds % 1000:03d}"
    )


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
