"""Sequences that begin alike, read as one: the sound once, and a branch for everything that follows it.

A clip is read at (4, 2) and at (4, 5), and by its sound alone: up to the video these are the same
tokens, and in a causal LLM the same hidden states. Packed, they are computed once; an attention mask
keeps the branches apart.
"""

# Shape letters: R rows, L positions of a row, S sequences, K kinds of them, N text tokens, D width of the
# LLM, V vocabulary.

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from peft import PeftModel
from torch import Tensor, nn

from mome.model.prefix import Piece, PrefixedText, embed
from mome.model.tokens import TextTokens
from mome.tuners.mome import MomeModel

__all__ = ["Packed", "language_loss", "pack"]

_PADDING = -1


class Packed(NamedTuple):
    """Rows, padded on the right, and the texts in them; sequences are counted row after row.

    Args:
        embeddings_RLD: What the LLM reads.
        visible_RLL: Whether a position (first) sees another (second).
        positions_RL: Place of each position in its own sequence.
        readers_KRL: Sequences of each kind that each position belongs to; 0 where there is padding.
        before_N: Place of the position that predicts each token of the texts, in the flattened rows.
        labels_N: The tokens of the texts, each with its end.
        sequence_N: Whose token it is.
    """

    embeddings_RLD: Tensor
    visible_RLL: Tensor
    positions_RL: Tensor
    readers_KRL: Tensor
    before_N: Tensor
    labels_N: Tensor
    sequence_N: Tensor


def pack(
    rows: Sequence[Sequence[PrefixedText]],
    tokens: TextTokens,
    embedding: nn.Embedding,
    kinds: Sequence[Sequence[int]] | None = None,
) -> Packed:
    """Put the sequences of each row together, which must have their sound in common.

    Args:
        rows: Sequences with texts; those of one row have the very same ``audio_TD``.
        tokens: Of the LLM.
        embedding: Of the LLM.
        kinds: Number of the kind of each sequence, from 0; None counts all as one kind.
    """
    kinds = kinds or [[0] * len(row) for row in rows]
    pieces: list[list[Piece]] = []
    branches: list[list[int]] = []  # of each position: 0 in what all share, then 1, 2, ...
    positions: list[list[int]] = []
    before: list[tuple[int, int]] = []
    labels: list[int] = []
    owners: list[int] = []
    num_sequences = 0
    for number, row in enumerate(rows):
        assert all(each.audio_TD is row[0].audio_TD and each.text is not None for each in row)
        shared = row[0].sound(tokens)
        length = sum(map(len, shared))
        pieces.append([*shared])
        branches.append([0] * length)
        positions.append([*range(length)])
        for branch, sequence in enumerate(row, start=1):
            rest, learnt = sequence.rest(tokens), sequence.learnt(tokens)
            prefix = sum(map(len, rest))
            start = len(branches[-1])
            # The end of a text is predicted and never read.
            own = prefix + len(learnt) - 1
            pieces[-1] += [*rest, learnt[:-1]]
            branches[-1] += [branch] * own
            positions[-1] += range(length, length + own)
            before += [(number, start + prefix - 1 + place) for place in range(len(learnt))]
            labels += learnt
            owners += [num_sequences] * len(learnt)
            num_sequences += 1
    longest = max(map(len, branches))
    for row_pieces, row_branches, row_positions in zip(pieces, branches, positions, strict=True):
        missing = longest - len(row_branches)
        row_pieces.append([tokens.pad_id] * missing)
        row_branches += [_PADDING] * missing
        row_positions += [0] * missing
    embeddings_RLD = embed(pieces, embedding)
    device = embeddings_RLD.device
    branch_RL = torch.tensor(branches, device=device)
    seen_R1L, seeing_RL1 = branch_RL[:, None, :], branch_RL[:, :, None]
    is_past_LL = torch.ones(longest, longest, dtype=torch.bool, device=device).tril()
    return Packed(
        embeddings_RLD,
        is_past_LL & ((seen_R1L == 0) | (seen_R1L == seeing_RL1)),
        torch.tensor(positions, device=device),
        _readers(kinds, branch_RL),
        torch.tensor([row * longest + place for row, place in before], device=device),
        torch.tensor(labels, device=device),
        torch.tensor(owners, device=device),
    )


def _readers(kinds: Sequence[Sequence[int]], branch_RL: Tensor) -> Tensor:
    """Return how many sequences of each kind ``(K, R, L)`` read a position of each branch."""
    most = max(map(len, kinds))
    # By kind, row and branch: what all share, each sequence, and padding at the end, where -1 finds it.
    table = torch.zeros(1 + max(map(max, kinds)), len(kinds), most + 2, dtype=torch.long)
    for row, row_kinds in enumerate(kinds):
        for branch, kind in enumerate(row_kinds, start=1):
            table[kind, row, 0] += 1
            table[kind, row, branch] = 1
    rows_R1 = torch.arange(len(kinds), device=branch_RL.device)[:, None]
    return table.to(branch_RL.device)[:, rows_R1, branch_RL]


def language_loss(llm: Any, packed: Packed, weights_S: Tensor | None = None) -> Tensor:
    """Return the cross-entropy of the texts, averaged over their tokens.

    Logits are computed where texts are and nowhere else: with the vocabulary of a real LLM the rest
    of them would be most of a batch's memory.

    Args:
        llm: A causal LLM, adapted or not.
        packed: What it reads.
        weights_S: Factor on the loss of each sequence; the divisor stays the number of tokens.
    """
    causal: Any = llm.get_base_model() if isinstance(llm, PeftModel) else llm
    tuner: Any = llm.base_model
    with tuner.finish_only(packed.before_N) if isinstance(tuner, MomeModel) else nullcontext():
        hidden_RLD = causal.base_model(
            inputs_embeds=packed.embeddings_RLD,
            attention_mask=_mask(packed.visible_RLL, packed.embeddings_RLD.dtype, causal),
            position_ids=packed.positions_RL,
            use_cache=False,
        ).last_hidden_state
    logits_NV = causal.get_output_embeddings()(hidden_RLD.flatten(0, 1)[packed.before_N])
    loss_N = nn.functional.cross_entropy(logits_NV.float(), packed.labels_N, reduction="none")
    if weights_S is not None:
        loss_N = loss_N * weights_S[packed.sequence_N]
    return loss_N.mean()


def _mask(visible_RLL: Tensor, dtype: torch.dtype, llm: Any) -> Tensor:
    """Return the mask in the form that the LLM's attention takes: added to scores, or choosing among them."""
    visible_R1LL = visible_RLL[:, None]
    if llm.config._attn_implementation == "sdpa":
        return visible_R1LL
    nothing = torch.zeros(visible_R1LL.shape, dtype=dtype, device=visible_R1LL.device)
    return nothing.masked_fill(~visible_R1LL, torch.finfo(dtype).min)
