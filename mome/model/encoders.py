"""The two frozen encoders of a foundation, and clips to features with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mome.model.audio_encoder import AudioEncoder
from mome.model.avsr import Features
from mome.model.video_encoder import VideoEncoder
from mome.speech.media import Clip

__all__ = ["Encoders"]


@dataclass(frozen=True)
class Encoders:
    """The two frozen encoders."""

    audio: AudioEncoder
    video: VideoEncoder

    @classmethod
    def load(cls, foundation: Path, device: str) -> Encoders:
        """Load both from a foundation folder onto a device."""
        return cls(
            AudioEncoder.load(foundation / "audio").to(device),
            VideoEncoder.load(foundation / "video").to(device),
        )

    @property
    def device(self) -> torch.device:
        """Where they run."""
        return self.audio.filters_KM.device

    @torch.inference_mode()
    def encode(self, clips: Sequence[Clip]) -> list[Features]:
        """Encode clips, each with what it holds."""
        audio = self._encode(self.audio, [clip.samples for clip in clips])
        video = self._encode(self.video, [clip.mouth for clip in clips])
        return [Features(a, v) for a, v in zip(audio, video, strict=True)]

    def _encode(
        self, encoder: AudioEncoder | VideoEncoder, inputs: Sequence[np.ndarray | None]
    ) -> list[Tensor | None]:
        there = [torch.from_numpy(array).to(self.device) for array in inputs if array is not None]
        if not there:
            return [None] * len(inputs)
        features_BTC, lengths_B = encoder(there)
        found = iter(
            [row[:length].clone() for row, length in zip(features_BTC, lengths_B.tolist(), strict=True)]
        )
        return [None if array is None else next(found) for array in inputs]
