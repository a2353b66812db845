"""The recogniser behind the encoders: compression, projectors and the fine-tuned frozen LLM."""

# Shape letters: B sequences, L positions, T frames or tokens, C encoder width, D width of the LLM.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mome.errors import UnknownScaleError
from mome.model.compression import average_pool
from mome.model.prefix import Assembled, PrefixedText, assemble, language_loss
from mome.model.projector import Projector
from mome.model.tokens import TextTokens
from mome.records import Modality
from mome.scales import Scale

__all__ = ["AVSRModel", "Features", "Losses", "Task"]


@dataclass(frozen=True)
class Features:
    """Encoder features of one clip: audio ``(T, C)`` at 50 Hz, video ``(T, C)`` at 25 Hz, or one of them."""

    audio_TC: Tensor | None
    video_TC: Tensor | None

    def only(self, modality: Modality) -> Features:
        """Return the features without what ``modality`` does not use."""
        return Features(
            None if modality == "video" else self.audio_TC,
            None if modality == "audio" else self.video_TC,
        )


class Task(NamedTuple):
    """Read ``features`` at ``scale``; ``text`` is what should come out, for training."""

    features: Features
    scale: Scale
    text: Sequence[int] | None = None

    @property
    def num_tokens(self) -> int:
        """Tokens of the prefix and the text, without delimiters and prompt."""
        audio, video = self.features.audio_TC, self.features.video_TC
        return (
            (0 if audio is None else len(audio) // self.scale.audio_rate)
            + (0 if video is None else len(video) // self.scale.video_rate)
            + (0 if self.text is None else len(self.text) + 1)
        )


class Losses(NamedTuple):
    """Language-model loss (mean over text tokens) and load-balancing loss of one pass."""

    language: Tensor
    balance: Tensor


class AVSRModel(nn.Module):
    """Projectors and an LLM with experts; what trains is everything that requires a gradient.

    Args:
        llm: A causal LLM adapted by MoME, as ``get_peft_model`` returns it.
        tokens: Of the LLM.
        scales: Those the model is trained for; each rate of each modality has its own projector.
        audio_width, video_width: Of the encoders' features.
    """

    def __init__(
        self, llm: Any, tokens: TextTokens, scales: Sequence[Scale], audio_width: int, video_width: int
    ) -> None:
        super().__init__()
        self.llm = llm
        self.tokens = tokens
        self.scales = tuple(scales)
        llm_width = llm.config.hidden_size
        hidden_width = llm.config.intermediate_size
        self.audio_projectors = _per_rate(
            {s.audio_rate for s in scales}, audio_width, hidden_width, llm_width
        )
        self.video_projectors = _per_rate(
            {s.video_rate for s in scales}, video_width, hidden_width, llm_width
        )

    def forward(self, tasks: Sequence[Task]) -> Losses:
        """Read all tasks in one pass of the LLM, whatever their scales and modalities.

        Raises:
            UnknownScaleError: If the model was not trained for a scale.
            MediaError: If a clip is shorter than one token.
        """
        batch = self._assemble(tasks)
        language = language_loss(self.llm, batch)
        return Losses(language, self.llm.base_model.load_balancing_loss(batch.attention_mask_BL))

    @torch.inference_mode()
    def transcribe(self, tasks: Sequence[Task], max_new_tokens: int) -> list[str]:
        """Return the most probable text of each task, greedily; `forward` says what it raises."""
        batch = self._assemble(tasks)
        ids_BL = self.llm.generate(
            inputs_embeds=batch.embeddings_BLD,
            attention_mask=batch.attention_mask_BL,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            eos_token_id=self.tokens.eos_id,
            pad_token_id=self.tokens.pad_id,
        )
        return self.tokens.decode(ids_BL.tolist())

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """Return what fine-tuning changes: experts, routers and projectors."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def _assemble(self, tasks: Sequence[Task]) -> Assembled:
        for task in tasks:
            if task.scale not in self.scales:
                known = ", ".join(str(scale) for scale in self.scales)
                raise UnknownScaleError(f"scale {task.scale} was not trained; the model has {known}")
        audio = _project(
            [t.features.audio_TC for t in tasks], [t.scale.audio_rate for t in tasks], self.audio_projectors
        )
        video = _project(
            [t.features.video_TC for t in tasks], [t.scale.video_rate for t in tasks], self.video_projectors
        )
        sequences = [PrefixedText(a, v, task.text) for a, v, task in zip(audio, video, tasks, strict=True)]
        return assemble(sequences, self.tokens, self.llm.get_input_embeddings())


def _per_rate(rates: set[int], encoder_width: int, hidden_width: int, llm_width: int) -> nn.ModuleDict:
    return nn.ModuleDict(
        {str(rate): Projector(encoder_width, hidden_width, llm_width) for rate in sorted(rates)}
    )


def _project(
    frames: Sequence[Tensor | None], rates: Sequence[int], projectors: nn.ModuleDict
) -> list[Tensor | None]:
    """Pool and project each clip at its rate; a clip that several tasks read is projected once."""
    done: dict[tuple[int, int], Tensor] = {}
    for rate in set(rates):
        clips = {id(f): f for f, r in zip(frames, rates, strict=True) if r == rate and f is not None}
        if not clips:
            continue
        pooled = [average_pool(clip, rate) for clip in clips.values()]
        projected = projectors[str(rate)](torch.cat(pooled)).split([len(tokens) for tokens in pooled])
        done |= {(key, rate): tokens for key, tokens in zip(clips, projected, strict=True)}
    return [None if f is None else done[id(f), r] for f, r in zip(frames, rates, strict=True)]
