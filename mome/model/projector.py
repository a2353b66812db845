"""Projectors: from an encoder's tokens to the LLM's width, one per modality and rate."""

# Shape letters: T tokens, C encoder width, D width of the LLM.

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Projector"]


class Projector(nn.Module):
    """Two linear layers with a ReLU between, then LayerNorm (Llama-AVSR, model facts 1.4).

    Args:
        encoder_width: ``C``.
        hidden_width: Width between the two layers; 2048 in the papers.
        llm_width: ``D``.
    """

    def __init__(self, encoder_width: int, hidden_width: int, llm_width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(encoder_width, hidden_width),
            nn.ReLU(),
            nn.Linear(hidden_width, llm_width),
            nn.LayerNorm(llm_width),
        )

    def forward(self, tokens_TC: Tensor) -> Tensor:
        """Project tokens ``(T, C)`` to ``(T, D)``."""
        projected_TD: Tensor = self.layers(tokens_TC)
        return projected_TD
