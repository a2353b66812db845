"""What the LLM reads: ``<s> <audio> A </audio> <video> V </video> prompt [text </s>]``."""

# Shape letters: B sequences, L positions, T tokens of one modality, D width of the LLM.

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mome.model.tokens import TextTokens
from mome.records import Modality

__all__ = ["Assembled", "Piece", "PrefixedText", "assemble", "embed"]

Piece = Sequence[int] | Tensor  # tokens of the LLM, or projected tokens ``(T, D)``


class PrefixedText(NamedTuple):
    """One sequence: prefix tokens per modality, and the text to learn, if any.

    Source: Llama-AVSR; audio comes before video (model facts 1.6).
    """

    audio_TD: Tensor | None
    video_TD: Tensor | None
    text: Sequence[int] | None

    @property
    def modality(self) -> Modality:
        """What the prefix holds."""
        if self.audio_TD is None:
            return "video"
        return "audio" if self.video_TD is None else "av"

    def sound(self, tokens: TextTokens) -> list[Piece]:
        """Return the begin and the sound: what readings of one clip at one audio rate have in common."""
        audio_on, audio_off, _, _ = tokens.delimiter_ids
        begin: list[Piece] = [] if tokens.bos_id is None else [[tokens.bos_id]]
        return begin if self.audio_TD is None else [*begin, [audio_on], self.audio_TD, [audio_off]]

    def rest(self, tokens: TextTokens) -> list[Piece]:
        """Return the video and the prompt, which end the prefix."""
        _, _, video_on, video_off = tokens.delimiter_ids
        prompt = tokens.prompt(self.modality)
        return [prompt] if self.video_TD is None else [[video_on], self.video_TD, [video_off], prompt]

    def learnt(self, tokens: TextTokens) -> list[int]:
        """Return the text and the end, which follow the prefix."""
        return [] if self.text is None else [*self.text, tokens.eos_id]


class Assembled(NamedTuple):
    """A batch of prefixes, padded on the left to one length, so that all texts begin at the same place."""

    embeddings_BLD: Tensor
    attention_mask_BL: Tensor


def assemble(sequences: Sequence[PrefixedText], tokens: TextTokens, embedding: nn.Embedding) -> Assembled:
    """Put prefixes together for decoding; texts, which are yet to be written, are left out.

    Args:
        sequences: Of any mixture of modalities, scales and lengths.
        tokens: Of the LLM.
        embedding: Of the LLM.
    """
    rows = [[*sequence.sound(tokens), *sequence.rest(tokens)] for sequence in sequences]
    lengths = [sum(map(len, row)) for row in rows]
    longest = max(lengths)
    padded: list[list[Piece]] = [
        [[tokens.pad_id] * (longest - length), *row] for row, length in zip(rows, lengths, strict=True)
    ]
    embeddings_BLD = embed(padded, embedding)
    from_end_L = torch.arange(longest, 0, -1, device=embeddings_BLD.device)
    lengths_B = torch.tensor(lengths, device=embeddings_BLD.device)
    return Assembled(embeddings_BLD, (from_end_L <= lengths_B[:, None]).long())


def embed(rows: Sequence[Sequence[Piece]], embedding: nn.Embedding) -> Tensor:
    """Return the embeddings ``(B, L, D)`` of rows of equal length, in the precision of the LLM.

    All tokens are looked up at once, and every row gathered from what was found: a piece that stands
    in several rows is there once, and its gradient too.
    """
    ids: list[int] = []
    projected = {id(piece): piece for row in rows for piece in row if isinstance(piece, Tensor)}
    starts: dict[int, int] = {}
    # Projected tokens come first, so that it is known where the looked up ones begin.
    found = 0
    for key, tokens_TD in projected.items():
        starts[key] = found
        found += len(tokens_TD)
    order: list[int] = []
    for row in rows:
        for piece in row:
            if isinstance(piece, Tensor):
                order.extend(range(starts[id(piece)], starts[id(piece)] + len(piece)))
            else:
                order.extend(range(found + len(ids), found + len(ids) + len(piece)))
                ids.extend(piece)
    device = embedding.weight.device
    looked_up_TD: Tensor = embedding(torch.tensor(ids, dtype=torch.long, device=device))
    # Projectors may work in more digits than the LLM.
    sources = [*(tokens_TD.to(looked_up_TD.dtype) for tokens_TD in projected.values()), looked_up_TD]
    rows_TD = torch.cat(sources).index_select(0, torch.tensor(order, device=device))
    return rows_TD.unflatten(0, (len(rows), -1))
