"""Assembles what the LLM reads: ``<s> <audio> A </audio> <video> V </video> prompt [text </s>]``."""

# Shape letters: B sequences, L positions, T tokens of one modality, D width of the LLM.

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mome.model.tokens import TextTokens
from mome.records import Modality

__all__ = ["IGNORED_LABEL", "Assembled", "PrefixedText", "assemble"]

IGNORED_LABEL = -100


class PrefixedText(NamedTuple):
    """One sequence to assemble: prefix tokens per modality, and the text to learn, if any."""

    audio_TD: Tensor | None
    video_TD: Tensor | None
    text: Sequence[int] | None

    @property
    def modality(self) -> Modality:
        """What the prefix holds."""
        if self.audio_TD is None:
            return "video"
        return "audio" if self.video_TD is None else "av"


class Assembled(NamedTuple):
    """A padded batch; labels are ignored everywhere but on the text and the end token."""

    embeddings_BLD: Tensor
    attention_mask_BL: Tensor
    labels_BL: Tensor


def assemble(
    sequences: Sequence[PrefixedText], tokens: TextTokens, embedding: nn.Embedding, *, pad_left: bool
) -> Assembled:
    """Put sequences together and pad them to one length.

    Args:
        sequences: Of any mixture of modalities, scales and lengths.
        tokens: Of the LLM.
        embedding: Of the LLM.
        pad_left: For generating, where every sequence must end at the same place.

    Source: Llama-AVSR; audio comes before video (model facts 1.6).
    """
    rows, labels = [], []
    for sequence in sequences:
        row, label = _one(sequence, tokens, embedding)
        rows.append(row)
        labels.append(label)
    longest = max(len(row) for row in rows)
    device = rows[0].device
    embeddings_BLD = rows[0].new_zeros(len(rows), longest, rows[0].shape[1])
    mask_BL = torch.zeros(len(rows), longest, dtype=torch.long, device=device)
    labels_BL = torch.full((len(rows), longest), IGNORED_LABEL, device=device)
    for index, (row, label) in enumerate(zip(rows, labels, strict=True)):
        start = longest - len(row) if pad_left else 0
        embeddings_BLD[index, start : start + len(row)] = row
        mask_BL[index, start : start + len(row)] = 1
        labels_BL[index, start : start + len(row)] = label
    return Assembled(embeddings_BLD, mask_BL, labels_BL)


def _one(sequence: PrefixedText, tokens: TextTokens, embedding: nn.Embedding) -> tuple[Tensor, Tensor]:
    """Return the embeddings ``(L, D)`` and labels ``(L,)`` of one sequence."""
    audio_on, audio_off, video_on, video_off = tokens.delimiter_ids
    device = embedding.weight.device

    def look_up(ids: Sequence[int]) -> Tensor:
        rows: Tensor = embedding(torch.tensor(ids, dtype=torch.long, device=device))
        return rows

    parts = [look_up([tokens.bos_id])]
    if sequence.audio_TD is not None:
        parts += [look_up([audio_on]), sequence.audio_TD, look_up([audio_off])]
    if sequence.video_TD is not None:
        parts += [look_up([video_on]), sequence.video_TD, look_up([video_off])]
    parts.append(look_up(tokens.prompt(sequence.modality)))
    num_prefix = sum(len(part) for part in parts)
    text = [] if sequence.text is None else [*sequence.text, tokens.eos_id]
    parts.append(look_up(text))
    labels = torch.tensor([IGNORED_LABEL] * num_prefix + text, device=device)
    return torch.cat(parts), labels
