"""The two encoders of a foundation, and clips to features with them."""

# Shape letters: N samples, T frames, C encoder width.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mome.config import AudioPadding
from mome.model.audio_encoder import AudioEncoder
from mome.model.avsr import Features
from mome.model.video_encoder import VideoEncoder
from mome.speech.media import Clip

__all__ = ["Encoders"]


@dataclass(frozen=True)
class Encoders:
    """Both encoders; frozen, but for LoRA beside them where training asks for it."""

    audio: AudioEncoder
    video: VideoEncoder

    @classmethod
    def load(
        cls,
        foundation: Path,
        device: str,
        audio_padding: AudioPadding = "none",
        *,
        audio: Path | None = None,
        video: Path | None = None,
    ) -> Encoders:
        """Load both onto a device.

        Args:
            foundation: Folder with both.
            device: As torch names it.
            audio_padding: Silence behind every clip, or none.
            audio, video: Folders with the encoders, where they are others than the foundation's.
        """
        return cls(
            AudioEncoder.load(audio or foundation / "audio", audio_padding).to(device),
            VideoEncoder.load(video or foundation / "video").to(device),
        )

    @property
    def device(self) -> torch.device:
        """Where they run."""
        return self.audio.filters_KM.device

    def hear(self, waveforms: Sequence[np.ndarray]) -> list[Tensor]:
        """Encode waveforms ``(N,)`` at 16 kHz; returns ``(T, C)`` each, at 50 Hz."""
        return self._encode(self.audio, waveforms)

    def see(self, mouths: Sequence[np.ndarray]) -> list[Tensor]:
        """Encode mouth videos ``(T, H, W)``; returns ``(T, C)`` each, at 25 Hz."""
        return self._encode(self.video, mouths)

    @torch.inference_mode()
    def encode(self, clips: Sequence[Clip]) -> list[Features]:
        """Encode clips, each with what it holds."""
        heard = iter(self.hear([clip.samples for clip in clips if clip.samples is not None]))
        seen = iter(self.see([clip.mouth for clip in clips if clip.mouth is not None]))
        return [
            Features(
                None if clip.samples is None else next(heard), None if clip.mouth is None else next(seen)
            )
            for clip in clips
        ]

    def _encode(self, encoder: AudioEncoder | VideoEncoder, inputs: Sequence[np.ndarray]) -> list[Tensor]:
        if not inputs:
            return []
        features_BTC, lengths = encoder([torch.from_numpy(array).to(self.device) for array in inputs])
        # Copies, so that the padding of the batch is not kept alive by one clip of it.
        return [row[:length].clone() for row, length in zip(features_BTC, lengths, strict=True)]
