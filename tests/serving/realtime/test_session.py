"""A session takes OpenAI's fields, of the newer and the older form, and refuses what would be ignored."""

from __future__ import annotations

from typing import Any

import pytest

from serving.errors import ApiError
from serving.realtime.session import ServerVad, Session, updated


def test_only_what_is_given_changes() -> None:
    first = updated(Session(), {"audio": {"input": {"turn_detection": None}}})
    second = updated(first, {"type": "transcription", "compression_scale": "a4v2"})

    assert second.audio.input.turn_detection is None
    assert (second.compression_scale, second.audio.input.format.sampling_rate) == ("a4v2", 24_000)


def test_the_older_form_says_the_same() -> None:
    older = {
        "input_audio_format": "g711_ulaw",
        "input_audio_transcription": {"model": "whisper-1"},
        "turn_detection": {"type": "server_vad", "threshold": 0.6},
    }
    newer = {
        "format": {"type": "audio/pcmu"},
        "transcription": {"model": "whisper-1"},
        "turn_detection": {"type": "server_vad", "threshold": 0.6},
    }

    assert updated(Session(), older) == updated(Session(), {"audio": {"input": newer}})


def test_it_is_described_as_openai_describes_it() -> None:
    session = updated(Session(), {"audio": {"input": {"format": {"type": "audio/pcma"}}}})
    described = session.described("sess_1")

    assert (described["object"], described["type"]) == ("realtime.transcription_session", "transcription")
    assert described["audio"]["input"]["format"] == {"type": "audio/pcma", "rate": 8_000}
    assert ServerVad(**described["audio"]["input"]["turn_detection"]) == ServerVad(type="server_vad")


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"type": "realtime"}, "session.type"),
        ({"voice": "alloy"}, "session.voice"),
        ({"audio": {"output": {}}}, "session.audio.output"),
        (
            {"audio": {"input": {"noise_reduction": {"type": "near_field"}}}},
            "session.audio.input.noise_reduction",
        ),
        ({"audio": {"input": {"format": {"type": "audio/opus"}}}}, "session.audio.input.format.type"),
        ({"audio": {"input": {"format": {"rate": 44_100}}}}, "session.audio.input.format.rate"),
        (
            {"audio": {"input": {"format": {"type": "audio/pcmu", "rate": 16_000}}}},
            "session.audio.input.format",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}},
            "session.audio.input.turn_detection.type",
        ),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 2}}}},
            "session.audio.input.turn_detection.threshold",
        ),
        (
            {"audio": {"input": {"transcription": {"prompt": "x"}}}},
            "session.audio.input.transcription.prompt",
        ),
        ({"include": ["item.input_audio_transcription.words"]}, "session.include.0"),
        ({"input_audio_format": "mp3"}, "session.audio.input.format.type"),
        ({"audio": 7}, "session.audio"),
        (None, "session"),
        ([], "session"),
    ],
)
def test_what_would_be_ignored_is_refused_by_name(given: Any, param: str) -> None:
    with pytest.raises(ApiError) as refused:
        updated(Session(), given)

    assert refused.value.param is not None
    assert refused.value.param.startswith(param)
    assert refused.value.status == 400
