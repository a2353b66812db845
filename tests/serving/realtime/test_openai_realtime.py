"""OpenAI's own realtime client against a server, with both of the WebSocket libraries that it may have."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import openai
import pytest
from openai.types import realtime
from pydantic import BaseModel

from serving.keys import Key
from tests.serving.over_http import openai_client
from tests.serving.planted import Served, syllables

# The client opens its connection in a way that websockets 17 wants no more.
pytestmark = pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager")


@pytest.fixture(params=["websockets-sansio", "wsproto"])
def client(serve: Callable[..., Served], request: pytest.FixtureRequest) -> Iterator[openai.OpenAI]:
    served = serve(api_keys=(Key("sesame"),), model_aliases=("whisper-1",))
    with openai_client(served, ws=request.param) as connected:
        yield connected


def required(model: type[BaseModel]) -> set[str]:
    return {name for name, field in model.model_fields.items() if field.is_required()}


def test_a_transcription_session_from_its_update_to_its_text(client: openai.OpenAI) -> None:
    pcm = (np.repeat(syllables(), 3)[::2] * 32_767).astype("<i2").tobytes()  # 24 kHz
    events: list[Any] = []
    with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        connection.session.update(
            session={
                "type": "transcription",
                "include": ["item.input_audio_transcription.logprobs"],
                "audio": {
                    "input": {
                        "format": {"type": "audio/pcm", "rate": 24_000},
                        "transcription": {"model": "whisper-1", "language": "en"},
                        "turn_detection": None,
                    }
                },
            }
        )
        for start in range(0, len(pcm), 4_800):
            connection.input_audio_buffer.append(audio=base64.b64encode(pcm[start : start + 4_800]).decode())
        connection.input_audio_buffer.commit()
        for event in connection:
            events.append(event)
            if event.type == "conversation.item.input_audio_transcription.completed":
                break

    assert [type(event) for event in events] == [
        realtime.SessionCreatedEvent,
        realtime.SessionUpdatedEvent,
        realtime.InputAudioBufferCommittedEvent,
        realtime.ConversationItemAdded,
        realtime.ConversationItemDone,
        realtime.ConversationItemInputAudioTranscriptionDeltaEvent,
        realtime.ConversationItemInputAudioTranscriptionCompletedEvent,
    ]
    for event in events:
        assert required(type(event)) <= event.model_fields_set
    assert isinstance(events[0].session, realtime.RealtimeTranscriptionSessionCreateRequest)
    assert events[-1].transcript == "audio at a16v5"
    assert [each.token for each in events[-1].logprobs] == ["audio", " at", " a16v5"]
    assert [each.logprob for each in events[-1].logprobs] == pytest.approx([np.log(0.5)] * 3)
    assert events[-1].usage.seconds == pytest.approx(1.0, abs=0.01)


def test_an_error_is_one_that_the_client_knows(client: openai.OpenAI) -> None:
    with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        connection.input_audio_buffer.commit(event_id="mine")
        kinds = [connection.recv(), connection.recv()]

    assert isinstance(kinds[1], realtime.RealtimeErrorEvent)
    assert (kinds[1].error.event_id, kinds[1].error.type) == ("mine", "invalid_request_error")


def test_a_wrong_key_opens_nothing(client: openai.OpenAI) -> None:
    stranger = client.with_options(api_key="open")
    with pytest.raises(Exception, match="401"):
        stranger.realtime.connect(extra_query={"intent": "transcription"}).enter()
