"""Mixed precision for training: products in bfloat16, weights and sums that matter in float32."""

from __future__ import annotations

import torch

from mome.config import Precision

__all__ = ["mixed_precision"]


def mixed_precision(device: str, precision: Precision) -> torch.autocast:
    """Return the context in which a training step's products run at ``precision``.

    Args:
        device: As torch names it, such as ``cpu`` or ``cuda:0``.
        precision: ``float32`` switches it off; ``auto`` was decided before (`mome.machine.processor`).
    """
    assert precision != "auto"
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bfloat16")
