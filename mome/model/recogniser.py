"""Everything that turns a clip into text: the encoders and the language model behind them."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from mome.model.avsr import AVSRModel
from mome.model.encoders import Encoders

__all__ = ["Recogniser"]


class Recogniser(NamedTuple):
    """Encoders, and the model that reads their features."""

    encoders: Encoders
    model: AVSRModel

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """Return what fine-tuning changes: experts, routers, projectors and LoRA on the encoders."""
        lora = {
            f"{which}_encoder.{name}": parameter
            for which, encoder in (("audio", self.encoders.audio), ("video", self.encoders.video))
            for name, parameter in encoder.named_parameters()
            if parameter.requires_grad
        }
        return self.model.trained_parameters() | lora
