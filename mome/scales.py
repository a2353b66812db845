"""Compression scales: how many encoder frames are pooled into one token, per modality."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from mome.errors import UnknownScaleError

__all__ = ["AUDIO_FRAMES_PER_SECOND", "VIDEO_FRAMES_PER_SECOND", "Scale", "nearest_rate", "neighbours"]

AUDIO_FRAMES_PER_SECOND = 50  # Whisper: 16,000 Hz / hop 160 / convolution stride 2
VIDEO_FRAMES_PER_SECOND = 25  # AV-HuBERT: one feature per video frame


@dataclass(frozen=True, slots=True)
class Scale:
    """A pair of rates, written ``a4v2``; bigger rates are coarser and cheaper.

    Args:
        audio_rate: Audio encoder frames (50 Hz) averaged into one token, at least 1.
        video_rate: Video encoder frames (25 Hz) averaged into one token, at least 1.

    Raises:
        UnknownScaleError: If a rate is below 1.

    Source: MoME (arXiv:2510.04136), section 3; rates (4,2) (4,5) (16,2) (16,5).
    """

    audio_rate: int
    video_rate: int

    def __post_init__(self) -> None:
        if self.audio_rate < 1 or self.video_rate < 1:
            raise UnknownScaleError(
                f"a scale needs rates of at least 1, got audio {self.audio_rate}, video {self.video_rate}"
            )

    @classmethod
    def parse(cls, text: str) -> Scale:
        """Read the text form, for instance ``a16v5``.

        Raises:
            UnknownScaleError: If the text does not have that form.
        """
        match = re.fullmatch(r"a(\d{1,3})v(\d{1,3})", text)
        if match is None:
            raise UnknownScaleError(
                f"unknown scale {text!r}: expected a<audio rate>v<video rate>, such as a4v2"
            )
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"a{self.audio_rate}v{self.video_rate}"

    @property
    def tokens_per_second(self) -> float:
        """Prefix tokens that one second of audio-visual speech costs; what orders scales."""
        return AUDIO_FRAMES_PER_SECOND / self.audio_rate + VIDEO_FRAMES_PER_SECOND / self.video_rate

    def is_finer_than(self, other: Scale) -> bool:
        """Tell whether this scale spends more tokens per second than ``other``."""
        return self.tokens_per_second > other.tokens_per_second


def nearest_rate(rate: int, trained: Iterable[int]) -> int:
    """Return the trained rate that pools most nearly as many frames, by their ratio; of two, the finer.

    Args:
        rate: At least 1.
        trained: At least one of those that a model was trained for.
    """
    return min(trained, key=lambda each: (max(each, rate) / min(each, rate), each))


def neighbours(rate: int, trained: Iterable[int]) -> dict[int, float]:
    """Return the trained rates on both sides of another and the share of each in what is between them.

    Shares go by the logarithm of the rate and sum to one. A trained rate, and one beyond all of them, has a
    single neighbour.

    Args:
        rate: At least 1.
        trained: As `nearest_rate` takes them.
    """
    known = sorted(trained)
    if not known[0] < rate < known[-1] or rate in known:
        return {nearest_rate(rate, known): 1.0}
    finer, coarser = max(each for each in known if each < rate), min(each for each in known if each > rate)
    share = math.log(rate / finer) / math.log(coarser / finer)
    return {finer: 1 - share, coarser: share}
