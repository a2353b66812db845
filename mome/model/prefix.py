"""Assembles what the LLM reads: ``<s> <audio> A </audio> <video> V </video> prompt [text </s>]``."""

# Shape letters: B sequences, L positions, T tokens of one modality, D width of the LLM.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mome.model.tokens import TextTokens
from mome.records import Modality

__all__ = ["IGNORED_LABEL", "Assembled", "PrefixedText", "assemble", "language_loss"]

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
    longest_text: int  # tokens, end token included: all texts lie in the last so many positions


def language_loss(llm: Any, batch: Assembled, weights_B: Tensor | None = None) -> Tensor:
    """Return the cross-entropy of the texts, averaged over their tokens.

    Logits are computed where texts are and nowhere else: with the vocabulary of a real LLM the rest
    of them would be most of a batch's memory.

    Args:
        llm: A causal LLM, adapted or not.
        batch: What it reads.
        weights_B: Factor on the loss of each sequence; the divisor stays the number of tokens.
    """
    kept = batch.longest_text + 1  # each token is predicted from the one before it
    output = llm(
        inputs_embeds=batch.embeddings_BLD,
        attention_mask=batch.attention_mask_BL,
        use_cache=False,
        logits_to_keep=kept,
    )
    labels_BL = batch.labels_BL[:, 1 - kept :]
    loss_BL = nn.functional.cross_entropy(
        output.logits[:, :-1].flatten(0, 1).float(),
        labels_BL.flatten(),
        ignore_index=IGNORED_LABEL,
        reduction="none",
    ).view_as(labels_BL)
    if weights_B is not None:
        loss_BL = loss_BL * weights_B[:, None]
    return loss_BL.sum() / (labels_BL != IGNORED_LABEL).sum()


def assemble(sequences: Sequence[PrefixedText], tokens: TextTokens, embedding: nn.Embedding) -> Assembled:
    """Put sequences together and pad them on the left to one length, so that all end at the same place.

    Args:
        sequences: Of any mixture of modalities, scales and lengths.
        tokens: Of the LLM.
        embedding: Of the LLM.

    Source: Llama-AVSR; audio comes before video (model facts 1.6).
    """
    rows, labels = [], []
    for sequence in sequences:
        row, label = _one(sequence, tokens, embedding)
        rows.append(row)
        labels.append(label)
    longest = max(len(row) for row in rows)
    device = rows[0].device
    # Projectors may work in more digits than the LLM.
    embeddings_BLD = embedding.weight.new_zeros(len(rows), longest, rows[0].shape[1])
    mask_BL = torch.zeros(len(rows), longest, dtype=torch.long, device=device)
    labels_BL = torch.full((len(rows), longest), IGNORED_LABEL, device=device)
    for index, (row, label) in enumerate(zip(rows, labels, strict=True)):
        embeddings_BLD[index, longest - len(row) :] = row
        mask_BL[index, longest - len(row) :] = 1
        labels_BL[index, longest - len(row) :] = label
    longest_text = max(0 if sequence.text is None else len(sequence.text) + 1 for sequence in sequences)
    return Assembled(embeddings_BLD, mask_BL, labels_BL, longest_text)


def _one(sequence: PrefixedText, tokens: TextTokens, embedding: nn.Embedding) -> tuple[Tensor, Tensor]:
    """Return the embeddings ``(L, D)`` and labels ``(L,)`` of one sequence."""
    audio_on, audio_off, video_on, video_off = tokens.delimiter_ids
    device = embedding.weight.device

    def look_up(ids: Sequence[int]) -> Tensor:
        rows: Tensor = embedding(torch.tensor(ids, dtype=torch.long, device=device))
        return rows

    parts = [] if tokens.bos_id is None else [look_up([tokens.bos_id])]
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
