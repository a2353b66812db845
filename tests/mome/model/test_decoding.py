"""What a caller sees of decoding: a text while it is written, and beams that find more probable ones."""

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mome.errors import MediaError
from mome.model.avsr import AVSRModel, Task
from mome.model.decoding import Words
from mome.model.tokens import SPECIAL_TOKENS, TextTokens
from mome.reading import Standing, Token
from mome.scales import Scale
from tests.hearers import Hearer
from tests.small_recognisers import TASKS, clip, small_recogniser

LONGEST = 8


@pytest.fixture(scope="module", params=[(0.02, 1), (0.1, 1), (0.1, 4), (0.2, 4), (0.4, 2)], ids=str)
def model(request: pytest.FixtureRequest) -> AVSRModel:
    return small_recogniser(*request.param)


def read(model: AVSRModel, tasks: Sequence[Task], budget: int, **settings: Any) -> list[Hearer]:
    hearers = [Hearer(**settings) for _ in tasks]
    model.read(tasks, [budget] * len(tasks), hearers)
    return hearers


def test_texts_of_any_scales_and_modalities_read_together_are_those_read_one_by_one(
    model: AVSRModel,
) -> None:
    alone = [model.transcribe([task], LONGEST)[0] for task in TASKS]
    for hearer, expected in zip(read(model, TASKS, LONGEST), alone, strict=True):
        (text,) = hearer.texts
        assert text.text == expected


def test_words_come_while_a_text_is_written_and_never_change(model: AVSRModel) -> None:
    for hearer in read(model, TASKS, LONGEST):
        (text,) = hearer.texts
        for earlier, later in pairwise([*hearer.heard, Standing(text.text, text.tokens)]):
            assert later.text.startswith(earlier.text)
            assert later.tokens[: len(earlier.tokens)] == earlier.tokens
    assert all(hearer.heard == [] for hearer in read(model, TASKS, LONGEST, live=False))


def test_each_text_has_its_own_budget_and_says_that_it_was_cut() -> None:
    model = small_recogniser(0.02, 0)  # never ends by itself
    budgets = [5, 2, 9, 1, 3, 4]
    hearers = [Hearer() for _ in TASKS]

    model.read(TASKS, budgets, hearers)

    for task, budget, hearer in zip(TASKS, budgets, hearers, strict=True):
        (text,) = hearer.texts
        assert (text.text, text.cut) == (model.transcribe([task], budget)[0], True)
        assert len(text.tokens) == budget


def test_a_text_that_ends_with_its_last_token_is_not_cut() -> None:
    model = small_recogniser(0.1, 4)
    hearers = read(model, TASKS, 60)
    ended = [task for task, hearer in zip(TASKS, hearers, strict=True) if not hearer.texts[0].cut]
    assert ended, "no text of this model ends"
    for task in ended:
        (long,) = model.transcribe([task], 60)
        whole = next(n for n in range(1, 61) if not read(model, [task], n)[0].texts[0].cut)
        (exact,), (short,) = read(model, [task], whole), read(model, [task], max(1, whole - 1))
        assert exact.texts[0][:2] == (long, False)
        assert short.texts[0].cut or whole == 1


def scored(model: AVSRModel, task: Task, ids: Sequence[int]) -> list[float]:
    """Return the log probability of each token after those before it, from one pass over all of them."""
    with torch.inference_mode():
        prefix = model._assemble([task], model._sequences([task])).embeddings_BLD
        text = model.llm.get_input_embeddings()(torch.tensor([ids[:-1]], dtype=torch.long))
        logits = model.llm(inputs_embeds=torch.cat([prefix, text], 1)).logits
        scores = logits[0, -len(ids) :].log_softmax(-1)
    return [scores[position, token].item() for position, token in enumerate(ids)]


def test_a_text_says_how_probable_each_token_was(model: AVSRModel) -> None:
    for task, hearer in zip(TASKS, read(model, TASKS, LONGEST), strict=True):
        (text,) = hearer.texts
        ids = [token.id for token in text.tokens]
        logprobs = [token.logprob for token in text.tokens]
        if not text.cut:
            assert text.end_logprob is not None
            ids.append(model.tokens.eos_id)
            logprobs.append(text.end_logprob)
        assert logprobs == pytest.approx(scored(model, task, ids), abs=1e-4)
        assert text.mean_logprob == pytest.approx(sum(logprobs) / len(logprobs))
        assert "".join(token.text for token in text.tokens) == text.text
        # The same in company as alone.
        (alone,) = read(model, [task], LONGEST)
        assert [token[:2] for token in alone.texts[0].tokens] == [token[:2] for token in text.tokens]
        assert [token.logprob for token in alone.texts[0].tokens] == pytest.approx(
            [token.logprob for token in text.tokens], abs=1e-4
        )


def test_a_listener_who_leaves_ends_their_text_and_no_other() -> None:
    model = small_recogniser(0.02, 0)
    expected = [model.transcribe([task], 40)[0] for task in TASKS]
    steps: list[None] = []
    hook = model.llm.get_input_embeddings().register_forward_hook(lambda *_: steps.append(None))
    hearers = [Hearer(), *(Hearer(patience=3) for _ in TASKS[1:])]

    model.read(TASKS, [40, *[3_000] * (len(TASKS) - 1)], hearers)

    hook.remove()
    assert [text[:2] for text in hearers[0].texts] == [(expected[0], True)]
    assert all(hearer.texts == [] for hearer in hearers[1:])
    assert len(steps) < 100
    assert [model.transcribe([task], 40)[0] for task in TASKS] == expected


def test_a_reading_refuses_what_a_transcription_refuses(model: AVSRModel) -> None:
    with pytest.raises(MediaError, match="too short"):
        read(model, [Task(clip(7), Scale(16, 5))], 4)


@pytest.fixture(scope="module")
def byte_tokens() -> TextTokens:
    """One token per byte, so that most characters but English letters are several."""
    specials = ["</s>", *SPECIAL_TOKENS]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*specials, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return TextTokens(
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            eos_token="</s>",
            pad_token="<pad>",
            clean_up_tokenization_spaces=True,  # as Llama 3's
        )
    )


def whole_words(chosen: Iterable[int], tokens: TextTokens) -> Iterator[str]:
    """Yield what is new each time that more of a text stands; its tokens are those of the whole text."""
    words, written, told = Words(tokens), "", list[Token]()
    for number, token in enumerate(chosen):
        words.ids.append(token)
        words.logprobs.append(-number)
        standing, stand = words.standing()
        assert stand[: len(told)] == tuple(told)
        assert standing.startswith("".join(each.text for each in stand))
        told += stand[len(told) :]
        if len(standing) > len(written):
            assert standing.startswith(written)
            yield standing[len(written) :]
            written = standing
    text, whole = words.text(), words.ended().tokens
    assert text.startswith(written)
    assert whole[: len(told)] == tuple(told)
    assert "".join(each.text for each in whole) == text
    if len(text) > len(written):
        yield text[len(written) :]


@pytest.mark.parametrize(
    "text",
    [
        "größe naïve €5",
        "東京 タワー",
        "🙂 👩‍👩‍👧 end",
        "  two  spaces\nand lines \n",
        "do n't stop , it 's fine . ' so ' !",
        "",
        "   ",
    ],
)
def test_no_character_is_split_and_no_space_is_lost(byte_tokens: TextTokens, text: str) -> None:
    ids = [*byte_tokens.encode(text), byte_tokens.eos_id]
    assert len(ids) == len(text.encode()) + 1

    pieces = list(whole_words(ids, byte_tokens))

    assert "".join(pieces) == byte_tokens.decode([ids])[0]
    assert "\ufffd" not in "".join(pieces)
    assert all(pieces)


def test_bytes_that_are_no_text_are_streamed_as_they_are_decoded(byte_tokens: TextTokens) -> None:
    rng = random.Random(0)
    space, comma, quote = (byte_tokens.encode(each)[0] for each in " ,'")
    for _ in range(300):
        ids = rng.choices([*range(len(SPECIAL_TOKENS) + 257), *[space] * 60, *[comma, quote] * 30], k=20)
        assert "".join(whole_words(ids, byte_tokens)) == byte_tokens.decode([ids])[0]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("a €5", ["a", "", " ", "", "€", "5"]),  # three bytes, of which the first two say nothing
        ("no !", ["n", "o", "", " !"]),  # a space at the end is none yet
    ],
)
def test_the_texts_of_the_tokens_are_the_text(byte_tokens: TextTokens, text: str, pieces: list[str]) -> None:
    words = Words(byte_tokens)
    words.ids = [*byte_tokens.encode(text), byte_tokens.eos_id]
    words.logprobs = [-0.5] * len(words.ids)

    ended = words.ended()

    assert [token.text for token in ended.tokens] == pieces
    assert "".join(pieces) == ended.text == byte_tokens.decode([words.ids])[0]
    assert (ended.cut, ended.end_logprob, ended.mean_logprob) == (False, -0.5, -0.5)


def test_a_word_is_written_when_the_next_one_begins(byte_tokens: TextTokens) -> None:
    taken: list[int] = []

    def chosen() -> Iterator[int]:
        for token in byte_tokens.encode("lay red now"):
            taken.append(token)
            yield token

    pieces = whole_words(chosen(), byte_tokens)
    assert next(pieces) == "lay"
    assert len(taken) <= len("lay r")
    assert list(pieces) == [" red", " now"]


def generated(model: AVSRModel, task: Task, num_beams: int, monkeypatch: pytest.MonkeyPatch) -> float:
    """Return the log-probability per token that the model itself gives to what it wrote, read in one pass."""
    seen: list[tuple[dict[str, Any], list[int]]] = []
    plain = model.llm.generate

    def spy(**arguments: Any) -> torch.Tensor:
        ids_BL = plain(**arguments)
        seen.append((arguments, ids_BL[0].tolist()))
        return ids_BL

    with monkeypatch.context() as patch, torch.inference_mode():
        patch.setattr(model.llm, "generate", spy)
        model.transcribe([task], LONGEST, num_beams)
        ((arguments, ids),) = seen
        if model.tokens.eos_id in ids:
            ids = ids[: ids.index(model.tokens.eos_id) + 1]
        text = model.llm.get_input_embeddings()(torch.tensor([ids[:-1]], dtype=torch.long))
        logits = model.llm(inputs_embeds=torch.cat([arguments["inputs_embeds"], text], 1)).logits
        scores = logits[0, -len(ids) :].log_softmax(-1)
    return sum(scores[position, token].item() for position, token in enumerate(ids)) / len(ids)


def test_three_beams_find_a_text_at_least_as_probable(
    model: AVSRModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [
        (generated(model, task, 1, monkeypatch), generated(model, task, 3, monkeypatch)) for task in TASKS
    ]
    assert all(beams >= greedy - 1e-4 for greedy, beams in pairs), pairs
    assert any(beams > greedy + 1e-3 for greedy, beams in pairs), "beams changed nothing"


def test_a_mixed_batch_with_beams_gives_the_texts_of_its_clips_one_by_one(model: AVSRModel) -> None:
    together = model.transcribe(TASKS, LONGEST, num_beams=3)
    assert together == [model.transcribe([task], LONGEST, num_beams=3)[0] for task in TASKS]
    assert together != model.transcribe(TASKS, LONGEST)


def test_beams_say_how_probable_their_tokens_were_and_keep_to_each_budget() -> None:
    model = small_recogniser(0.1, 2)
    budgets = [5, 2, 8, 1, 3, 4]
    hearers = [Hearer() for _ in TASKS]

    model.read(TASKS, budgets, hearers, num_beams=3)

    for task, budget, hearer in zip(TASKS, budgets, hearers, strict=True):
        (text,) = hearer.texts
        assert text.text == model.transcribe([task], budget, num_beams=3)[0]
        assert hearer.heard == []
        ids = [token.id for token in text.tokens]
        assert text.cut == (len(ids) == budget)
        logprobs = [token.logprob for token in text.tokens]
        if text.end_logprob is not None:
            ids.append(model.tokens.eos_id)
            logprobs.append(text.end_logprob)
        assert logprobs == pytest.approx(scored(model, task, ids), abs=1e-4)
    assert len({hearer.texts[0].cut for hearer in hearers}) == 2


def test_beams_are_left_by_a_listener_who_has_gone() -> None:
    model = small_recogniser(0.02, 0)
    expected = [model.transcribe([task], 6, num_beams=3)[0] for task in TASKS]
    hearers = [Hearer(patience=0) if row % 2 else Hearer() for row in range(len(TASKS))]
    model.read(TASKS, [6 if row % 2 == 0 else 3_000 for row in range(len(TASKS))], hearers, num_beams=3)
    assert [[text.text for text in hearer.texts] for hearer in hearers] == [
        [] if row % 2 else [text] for row, text in enumerate(expected)
    ]
