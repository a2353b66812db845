"""OpenAI's own client against the routes over HTTP; only the model behind them is planted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from serving.keys import Key
from tests.serving.over_http import openai_client
from tests.serving.planted import Served, syllables, wav

FILE = ("clip.wav", wav(syllables()))


@pytest.fixture
def client(serve: Callable[..., Served]) -> Iterator[openai.OpenAI]:
    served = serve(api_keys=(Key("sesame"),), model_aliases=("whisper-1",))
    with openai_client(served) as connected:
        yield connected


def test_a_client_that_only_knows_whisper_gets_text(client: openai.OpenAI) -> None:
    assert client.audio.transcriptions.create(file=FILE, model="whisper-1").text == "audio at a16v5"


def test_every_field_of_the_verbose_type_is_there(client: openai.OpenAI) -> None:
    reply = client.audio.transcriptions.create(
        file=FILE,
        model="whisper-1",
        response_format="verbose_json",
        temperature=0,
        language="en",
        timestamp_granularities=["segment"],
    )

    given = reply.model_dump(exclude_unset=True)
    required = {name for name, field in type(reply).model_fields.items() if field.is_required()}
    assert required <= given.keys()
    (segment,) = reply.segments or []
    needed = {name for name, field in type(segment).model_fields.items() if field.is_required()}
    assert needed <= segment.model_dump(exclude_unset=True).keys()
    assert (reply.text, segment.text, segment.end) == ("audio at a16v5", "audio at a16v5", 1.0)


def test_words_and_segments_are_given_together(client: openai.OpenAI) -> None:
    reply = client.audio.transcriptions.create(
        file=FILE,
        model="whisper-1",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert [word.word for word in reply.words] == ["audio", "at", "a16v5"]
    assert [segment.text for segment in reply.segments] == ["audio at a16v5"]


def test_logprobs_are_given_with_json_and_in_a_stream(client: openai.OpenAI) -> None:
    wish: dict[str, Any] = {"file": FILE, "model": "whisper-1", "include": ["logprobs"]}
    reply = client.audio.transcriptions.create(**wish)
    *deltas, last = client.audio.transcriptions.create(**wish, stream=True)
    assert [[each.token for each in delta.logprobs] for delta in deltas] == [["audio"], [" at"], [" a16v5"]]
    for given in (reply.logprobs, last.logprobs, [each for delta in deltas for each in delta.logprobs]):
        assert [each.token for each in given] == ["audio", " at", " a16v5"]
        assert all(each.logprob < 0 and bytes(map(int, each.bytes)).decode() == each.token for each in given)
    with pytest.raises(openai.BadRequestError, match="supported with response_format json"):
        client.audio.transcriptions.create(**wish, response_format="verbose_json")


def test_a_chunking_strategy_can_be_text_or_an_object(client: openai.OpenAI) -> None:
    for strategy in ("auto", {"type": "server_vad"}):
        reply = client.audio.transcriptions.create(file=FILE, model="whisper-1", chunking_strategy=strategy)
        assert reply.text == "audio at a16v5"
    with pytest.raises(openai.BadRequestError, match="leave out threshold"):
        client.audio.transcriptions.create(
            file=FILE, model="whisper-1", chunking_strategy={"type": "server_vad", "threshold": 0.4}
        )


@pytest.mark.parametrize("wanted", ["text", "srt", "vtt"])
def test_formats_for_people_are_text(client: openai.OpenAI, wanted: str) -> None:
    reply = client.audio.transcriptions.create(file=FILE, model="whisper-1", response_format=wanted)
    assert "audio at a16v5" in str(reply)


def test_a_stream_ends_with_the_whole_text(client: openai.OpenAI) -> None:
    events = list(client.audio.transcriptions.create(file=FILE, model="whisper-1", stream=True))
    assert events[-1].type == "transcript.text.done"
    assert events[-1].text == "".join(event.delta for event in events[:-1]) == "audio at a16v5"


def test_an_unknown_model_and_a_wrong_key_are_the_errors_that_clients_know(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="this service has"):
        client.audio.transcriptions.create(file=FILE, model="gpt-4o-transcribe")
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").models.list()
