"""AV-HuBERT that gives one feature per mouth frame; frozen, or with LoRA beside its attention."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn.functional import pad

from mome.model.avhubert import AVHubertModel
from mome.model.loading import load_model

__all__ = ["VideoEncoder", "with_video_lora"]

_LENGTH_STEP = 16  # frames

# A pattern, not a list: peft keeps a list as a set, and writes it in another order every time.
_QUERY_AND_VALUE = r".*\.self_attn\.(q_proj|v_proj)"
_SCALING = 2


def with_video_lora(avhubert: AVHubertModel, rank: int) -> Any:
    """Return AV-HuBERT with LoRA beside queries and values of every layer, and nothing else to train.

    Llama-AVSR has it for lips alone, Omni-AVSR always: rank 64 with a scaling of 2. It starts with the
    matrix down at zero and the one up drawn, the other way round than usual (model facts 5.4).
    """
    config = LoraConfig(r=rank, lora_alpha=_SCALING * rank, target_modules=_QUERY_AND_VALUE)
    adapted = get_peft_model(avhubert, config)
    for name, parameter in adapted.named_parameters():
        if ".lora_A." in name:
            nn.init.zeros_(parameter)
        elif ".lora_B." in name:
            nn.init.kaiming_uniform_(parameter, a=5**0.5)  # as torch draws any linear layer
    return adapted


class VideoEncoder(nn.Module):
    """Encode mouth clips of different lengths; padding does not change a clip's features."""

    def __init__(self, avhubert: AVHubertModel) -> None:
        super().__init__()
        self.avhubert: Any = avhubert

    @classmethod
    def load(cls, folder: Path) -> VideoEncoder:
        """Load AV-HuBERT from a folder written by ``save_pretrained``, safetensors only.

        Raises:
            CheckpointError: If the folder holds no such model, or not all of it.
        """
        avhubert = load_model(
            AVHubertModel, folder, "an AV-HuBERT", local_files_only=True, dtype=torch.float32
        )
        # eval: with BatchNorm in training mode a "frozen" encoder drifts with every batch.
        return cls(avhubert).eval().requires_grad_(False)

    def add_lora(self, rank: int) -> None:
        """Put LoRA beside it, as `with_video_lora`."""
        self.avhubert = with_video_lora(self.avhubert, rank)

    @property
    def picture_side(self) -> int:
        """Side in pixels of the part of a frame that is looked at: the centre, if frames are larger."""
        return int(self.avhubert.config.image_size * self.avhubert.config.image_shrink)

    @property
    def width(self) -> int:
        """Width of a feature."""
        return int(self.avhubert.config.hidden_size)

    def forward(self, clips: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
        """Encode gray mouth frames ``(T, H, W)``, uint8; 96 x 96, or cut to `picture_side` already.

        Returns:
            Features ``(B, T, D)``, and how many of the ``T`` frames each clip has.
        """
        lengths = [len(clip) for clip in clips]
        # A multiple, because every new length makes the convolution library prepare itself anew.
        longest = -(-max(lengths) // _LENGTH_STEP) * _LENGTH_STEP
        frames_BTHW = torch.stack([pad(clip, (0, 0, 0, 0, 0, longest - len(clip))) for clip in clips])
        lengths_B = torch.tensor(lengths, device=frames_BTHW.device)
        is_frame_BT = torch.arange(longest, device=lengths_B.device) < lengths_B[:, None]
        features_BTD: Tensor = self.avhubert(frames_BTHW, is_frame_BT)
        return features_BTD[:, : max(lengths)], lengths
