"""What a caller sees of decoding: a text while it is written, and beams that find more probable ones."""

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mome.errors import MediaError, UnknownScaleError
from mome.model.avsr import AVSRModel, Task
from mome.model.decoding import TokenStreamer, chosen_tokens, whole_words
from mome.model.tokens import SPECIAL_TOKENS, TextTokens
from mome.scales import Scale
from tests.small_recognisers import TASKS, clip, small_recogniser

LONGEST = 8


@pytest.fixture(scope="module", params=[(0.02, 1), (0.1, 1), (0.1, 4), (0.2, 4), (0.4, 2)], ids=str)
def model(request: pytest.FixtureRequest) -> AVSRModel:
    return small_recogniser(*request.param)


def decoding_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("decoding")]


def test_the_pieces_of_a_stream_joined_are_the_text(model: AVSRModel) -> None:
    for task in TASKS:
        pieces = list(model.stream(task, LONGEST))
        (text,) = model.transcribe([task], LONGEST)
        assert "".join(pieces) == text
        assert len(pieces) == len(text.split())
    assert not decoding_threads()


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_a_reader_who_stops_leaves_no_thread_and_a_working_model(taken: int) -> None:
    model = small_recogniser(0.02, 0)
    (expected,) = model.transcribe(TASKS[:1], LONGEST)
    steps: list[None] = []
    hook = model.llm.get_input_embeddings().register_forward_hook(lambda *_: steps.append(None))
    pieces = model.stream(TASKS[0], 3_000)
    for _ in range(taken):
        next(pieces)

    pieces.close()

    assert not decoding_threads()
    assert len(steps) < 3_000
    hook.remove()
    assert model.transcribe(TASKS[:1], LONGEST) == [expected]


def test_tokens_come_before_the_generation_has_ended() -> None:
    go_on = threading.Event()

    def generate(streamer: TokenStreamer) -> None:
        streamer.put(torch.zeros(1, 0, dtype=torch.long))  # the prompt, which is not ids here
        streamer.put(torch.tensor([7]))
        assert go_on.wait(10)
        streamer.put(torch.tensor([8]))
        streamer.end()

    tokens = chosen_tokens(generate)
    assert next(tokens) == 7
    go_on.set()
    assert list(tokens) == [8]


def test_an_error_reaches_the_reader_after_the_tokens_before_it() -> None:
    def generate(streamer: TokenStreamer) -> None:
        streamer.put(torch.tensor([7]))
        raise RuntimeError("out of memory")

    tokens = chosen_tokens(generate)
    assert next(tokens) == 7
    with pytest.raises(RuntimeError, match="out of memory"):
        next(tokens)
    assert not decoding_threads()


def test_a_stream_refuses_what_a_transcription_refuses(model: AVSRModel) -> None:
    with pytest.raises(UnknownScaleError, match="a8v2 was not trained; the model has a4v2, a16v5"):
        next(model.stream(Task(clip(40), Scale(8, 2)), 4))
    with pytest.raises(MediaError, match="too short"):
        next(model.stream(Task(clip(7), Scale(16, 5)), 4))
    assert not decoding_threads()


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
