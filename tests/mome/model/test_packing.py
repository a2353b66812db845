"""Sequences put together: what stands where, what sees what, and one pass against many."""

import pytest
import torch
from peft import get_peft_model
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from mome.foundation.tokenizer import new_tokenizer
from mome.methods import METHODS
from mome.model.avsr import AVSRModel, Features, Task
from mome.model.packing import pack
from mome.model.prefix import PrefixedText, assemble
from mome.model.tokens import TextTokens
from mome.scales import Scale
from mome.tuners.mome import MomeConfig

SCALES = [Scale(4, 2), Scale(4, 5), Scale(16, 2), Scale(16, 5)]


@pytest.fixture(scope="module")
def tokens() -> TextTokens:
    return TextTokens(new_tokenizer(0))


def sequences(tokens: TextTokens, text: str) -> list[PrefixedText]:
    """Read one sound with two videos and alone."""
    sound = torch.full((3, 4), 7.0)
    videos = [torch.full((2, 4), 9.0), torch.full((1, 4), 8.0), None]
    return [PrefixedText(sound, video, tokens.encode(text)) for video in videos]


def expected(tokens: TextTokens, sequence: PrefixedText) -> list[int]:
    """Return the sequence as token numbers; projected tokens stand as minus their value."""
    audio_on, audio_off, video_on, video_off = tokens.delimiter_ids
    ids = [tokens.bos_id, audio_on, *[-7] * 3, audio_off]
    if sequence.video_TD is not None:
        ids += [video_on, *[-int(row[0]) for row in sequence.video_TD], video_off]
    return [*ids, *tokens.prompt(sequence.modality)]


def read_back(rows_LD: torch.Tensor, embedding: nn.Embedding) -> list[int]:
    known = {tuple(row.tolist()): number for number, row in enumerate(embedding.weight)}
    return [known.get(tuple(row.tolist()), -int(row[0])) for row in rows_LD]


@torch.no_grad()
def test_a_prefix_for_decoding_holds_sound_before_video_and_ends_with_the_prompt(tokens: TextTokens) -> None:
    embedding = nn.Embedding(640, 4)
    both = sequences(tokens, "now")
    batch = assemble(both, tokens, embedding)
    for row, mask, sequence in zip(batch.embeddings_BLD, batch.attention_mask_BL, both, strict=True):
        wanted = expected(tokens, sequence)
        assert read_back(row[mask.bool()], embedding) == wanted
        assert mask.tolist() == [0] * (len(mask) - len(wanted)) + [1] * len(wanted)


@torch.no_grad()
def test_every_sequence_of_a_row_is_found_again_by_what_its_text_sees(tokens: TextTokens) -> None:
    embedding = nn.Embedding(640, 4)
    together = sequences(tokens, "bin blue")
    alone = PrefixedText(None, torch.full((2, 4), 5.0), tokens.encode("seven"))
    packed = pack([together, [alone]], tokens, embedding, kinds=[[0, 1, 0], [2]])
    longest = packed.embeddings_RLD.shape[1]
    ends = {}
    for before, label, owner in zip(
        packed.before_N.tolist(), packed.labels_N.tolist(), packed.sequence_N.tolist(), strict=True
    ):
        row, place = divmod(before, longest)
        seen = packed.visible_RLL[row, place].nonzero().flatten()
        assert packed.positions_RL[row, seen].tolist() == list(range(len(seen)))
        ends[owner] = [*read_back(packed.embeddings_RLD[row, seen], embedding), label]
    for owner, sequence in enumerate(together):
        assert ends[owner] == [*expected(tokens, sequence), *sequence.text, tokens.eos_id]
    marks = [tokens.bos_id, tokens.delimiter_ids[2], -5, -5, tokens.delimiter_ids[3]]
    assert ends[3] == [*marks, *tokens.prompt("video"), *tokens.encode("seven"), tokens.eos_id]
    # Each sequence is read whole, its end excepted, however its positions are shared.
    lengths = [len(expected(tokens, each)) + len(each.text) for each in together]
    counts_KR = packed.readers_KRL.sum(dim=2)
    assert counts_KR[:, 0].tolist() == [lengths[0] + lengths[2], lengths[1], 0]
    assert counts_KR[:, 1].tolist() == [0, 0, len(ends[3]) - 1]
    assert (packed.readers_KRL[:, 1].sum(dim=0) == 0).sum() == longest - len(ends[3]) + 1


def recogniser(tokens: TextTokens, attention: str, top_k: int | list[int] = 2) -> AVSRModel:
    torch.manual_seed(0)
    sizes = LlamaConfig(
        vocab_size=640, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, pad_token_id=tokens.pad_id,
    )  # fmt: skip
    sizes._attn_implementation = attention
    config = MomeConfig(num_experts=6, top_k=top_k, init_std=0.3, bottleneck_dim=2)
    llm = get_peft_model(LlamaForCausalLM(sizes), config)
    return AVSRModel(
        llm, tokens, SCALES, audio_width=6, video_width=5, method=METHODS["mome-layer"], projector_dim=8
    )


def tasks_of_two_clips(tokens: TextTokens) -> list[Task]:
    clips = [Features(torch.randn(2 * n, 6), torch.randn(n, 5)) for n in (40, 23)]
    tasks = [Task(clip, scale, tokens.encode("bin blue at f two")) for clip in clips for scale in SCALES]
    tasks += [Task(clip.only("audio"), SCALES[0], tokens.encode("seven"), weight=0.5) for clip in clips]
    return [*tasks, Task(clips[0].only("video"), SCALES[0], tokens.encode("lay red"), weight=1.5)]


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("top_k", [2, [4, 3, 2, 1]])
def test_one_pass_gives_the_losses_and_gradients_of_one_pass_per_task(
    tokens: TextTokens, attention: str, top_k: int | list[int]
) -> None:
    model = recogniser(tokens, attention, top_k)
    tasks = tasks_of_two_clips(tokens)
    losses = model(tasks)
    losses.language.backward()
    found = {name: each.grad.clone() for name, each in model.trained_parameters().items()}
    model.zero_grad()
    total = sum(len(task.text) + 1 for task in tasks)
    separately = sum((len(task.text) + 1) / total * model([task]).language for task in tasks)
    separately.backward()
    torch.testing.assert_close(losses.language, separately, atol=1e-5, rtol=1e-5)
    for name, each in model.trained_parameters().items():
        torch.testing.assert_close(found[name], each.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_the_balance_is_the_mean_of_what_a_pass_per_modality_and_scale_would_find(
    tokens: TextTokens,
) -> None:
    model = recogniser(tokens, "eager")
    tasks = tasks_of_two_clips(tokens)
    found = model(tasks).balance
    # No two sequences here are of one row, and nothing is padded.
    by_kind: dict[object, list[Task]] = {}
    for task in tasks:
        by_kind.setdefault((task.features.modality, task.scale), []).append(task)
    assert len(by_kind) == len(SCALES) + 2
    losses = []
    for alike in by_kind.values():
        scores, chosen = [], []
        for task in alike:
            model([task])
            for routing in model.llm.base_model.routings():
                scores.append(routing.scores_NE)
                chosen.append(routing.expert_ids_NK)
        share_E = torch.nn.functional.one_hot(torch.cat(chosen), 6).float().mean(0).sum(0)
        losses.append(6 * (share_E * torch.cat(scores).mean(0)).sum())
    torch.testing.assert_close(found, torch.stack(losses).mean(), atol=1e-5, rtol=1e-5)


def test_what_hears_alike_is_one_row_unless_its_experts_differ(tokens: TextTokens) -> None:
    tasks = tasks_of_two_clips(tokens)
    assert recogniser(tokens, "eager").rows(tasks) == [[[0, 1, 8], [2, 3], [4, 5, 9], [6, 7], [10]]]
    singles = recogniser(tokens, "eager", [4, 3, 2, 1]).rows(tasks)
    assert singles == [[[0, 8], [1], [2], [3], [4, 9], [5], [6], [7], [10]]]
