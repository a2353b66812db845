"""The projectors of a model: one per modality and rate, or Llama-SMoP's mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from mome.config import Compression
from mome.methods import Mixture
from mome.model.projector import Projector
from mome.model.projector_mixture import mixtures
from mome.scales import Scale

__all__ = ["Widths", "build_projectors"]


class Widths(NamedTuple):
    """Widths of sound and lips as the encoders give them, inside a projector, and of the LLM."""

    audio: int
    video: int
    hidden: int
    llm: int


def build_projectors(
    scales: Sequence[Scale],
    widths: Widths,
    compression: Compression,
    mixture: Mixture | None,
    num_projectors: int,
    top_k: int,
) -> tuple[nn.ModuleDict, nn.ModuleDict]:
    """Return the projectors of sound and of lips, by rate.

    Args:
        scales: What the model is trained for; a mixture takes one scale.
        widths: Of what goes in and comes out.
        compression: Stacked frames make wider tokens.
        mixture: Design of Llama-SMoP; None means a plain projector for each rate.
        num_projectors, top_k: Of a mixture.

    Raises:
        ConfigError: If a mixture's modalities are to share projectors of different widths.
    """

    def width(encoder_width: int, rate: int) -> int:
        return encoder_width * rate if compression == "stack" else encoder_width

    if mixture is not None:
        (scale,) = scales
        audio, video = mixtures(
            mixture,
            audio_width=width(widths.audio, scale.audio_rate),
            video_width=width(widths.video, scale.video_rate),
            hidden_width=widths.hidden,
            llm_width=widths.llm,
            num_experts=num_projectors,
            top_k=top_k,
        )
        return nn.ModuleDict({str(scale.audio_rate): audio}), nn.ModuleDict({str(scale.video_rate): video})

    def per_rate(rates: set[int], encoder_width: int) -> nn.ModuleDict:
        return nn.ModuleDict(
            {
                str(rate): Projector(width(encoder_width, rate), widths.hidden, widths.llm)
                for rate in sorted(rates)
            }
        )

    return (
        per_rate({scale.audio_rate for scale in scales}, widths.audio),
        per_rate({scale.video_rate for scale in scales}, widths.video),
    )
