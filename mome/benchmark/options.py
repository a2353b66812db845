"""What a run of the benchmark is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mome.config import EvaluateParams, TrainParams

__all__ = ["ALL_LAYERS", "MOME", "Options"]

ALL_LAYERS = 16  # of Llama-3.2-1B

# MoME-23/4 beside the whole layer, as the claims are about it; encoders frozen, as in the papers.
MOME: dict[str, object] = {
    "method": "mome-layer",
    "compression": "average",
    "num_experts": 23,
    "top_k": 4,
    "num_shared_experts": 1,
    "bottleneck_dim": 8,
    "audio_lora_rank": 0,
    "precision": "float32",
}


@dataclass(frozen=True)
class Options:
    """Where and how much to measure.

    Args:
        device: As torch names it.
        repetitions: Of every comparison.
        layers: Of the LLM with the shapes of Llama-3.2-1B, which has `ALL_LAYERS`.
        quick: Tiny sizes: shows that the command works, says nothing about speed.
        train: Section ``train`` with `MOME` in it: scales, and sequences per step.
        evaluate: Section ``evaluate``: noise levels, and clips per batch.
    """

    device: str
    repetitions: int
    layers: int
    quick: bool
    train: TrainParams
    evaluate: EvaluateParams

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU; a target may hold on one kind of device only."""
        return self.device.startswith("cuda")

    def note(self, dtype: torch.dtype) -> str:
        """Say in which precision, and with how many layers, the LLM of 1B shapes was measured."""
        precision = str(dtype).removeprefix("torch.")
        return precision + (f"; {self.layers} of {ALL_LAYERS} layers" if self.layers != ALL_LAYERS else "")
