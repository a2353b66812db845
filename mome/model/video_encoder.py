"""A frozen AV-HuBERT that gives one feature per mouth frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from mome.model.avhubert import AVHubertModel
from mome.model.loading import load_model

__all__ = ["VideoEncoder"]

_LENGTH_STEP = 16  # frames


class VideoEncoder(nn.Module):
    """Encode mouth clips of different lengths; padding does not change a clip's features."""

    def __init__(self, avhubert: AVHubertModel) -> None:
        super().__init__()
        self.avhubert = avhubert

    @classmethod
    def load(cls, folder: Path) -> VideoEncoder:
        """Load AV-HuBERT from a folder written by ``save_pretrained``, safetensors only.

        Raises:
            CheckpointError: If the folder holds no such model, or not all of it.
        """
        avhubert = load_model(AVHubertModel, folder, "an AV-HuBERT", local_files_only=True)
        # eval: with BatchNorm in training mode a "frozen" encoder drifts with every batch.
        return cls(avhubert).eval().requires_grad_(False)

    @property
    def width(self) -> int:
        """Width of a feature."""
        return int(self.avhubert.config.hidden_size)

    def forward(self, clips: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Encode gray mouth frames ``(T, 96, 96)``, uint8.

        Returns:
            Features ``(B, T, D)``, and how many of the ``T`` frames each clip has ``(B,)``.
        """
        lengths_B = torch.tensor([len(clip) for clip in clips], device=clips[0].device)
        # A multiple, because every new length makes the convolution library prepare itself anew.
        longest = -(-int(lengths_B.max()) // _LENGTH_STEP) * _LENGTH_STEP
        frames_BTHW = torch.stack([pad(clip, (0, 0, 0, 0, 0, longest - len(clip))) for clip in clips])
        is_frame_BT = torch.arange(longest, device=lengths_B.device) < lengths_B[:, None]
        return self.avhubert(frames_BTHW, is_frame_BT)[:, : int(lengths_B.max())], lengths_B
