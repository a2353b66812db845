"""``stream=true``: the same text in pieces, the same refusals, the same log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import httpx
import numpy as np
import pytest

from mome.errors import MediaError
from mome.reading import Standing
from mome.records import RequestRecord
from serving.engine import complete
from serving.errors import ApiError
from tests.serving.planted import Served, events, syllables, wav

SPEECH = wav(syllables())


def logged(folder: Path) -> list[RequestRecord]:
    (file,) = folder.glob("*.jsonl")
    return [RequestRecord.model_validate_json(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("stream", ["true", "True", "1"])
def test_the_pieces_joined_are_the_text(served: Served, stream: str) -> None:
    reply = served.post(SPEECH, stream=stream, compression_scale="a4v2")

    assert reply.status_code == 200
    assert reply.headers["content-type"].partition(";")[0] == "text/event-stream"
    assert reply.headers["X-MoME-Scale"] == "a4v2"
    *deltas, done = events(reply.text)
    assert [event["type"] for event in deltas] == ["transcript.text.delta"] * 3
    text = served.post(SPEECH, compression_scale="a4v2").json()["text"]
    assert "".join(event["delta"] for event in deltas) == text
    assert done == {"type": "transcript.text.done", "text": text}


def test_a_recording_without_words_has_an_end_only(served: Served) -> None:
    served.recogniser.mute = True
    assert events(served.post(SPEECH, stream="true").text) == [{"type": "transcript.text.done", "text": ""}]


def refused_without_stream(served: Served, content: bytes, **fields: str) -> httpx.Response:
    reply = served.post(content, **fields)
    assert 400 <= reply.status_code < 500
    return reply


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        (b"", {}),
        (b"these are not the bytes of a recording", {}),
        (wav(syllables(0.05)), {}),
        (wav(np.full(16_000, np.nan, np.float32)), {}),
        (SPEECH, {"compression_scale": "a3v3"}),
        (SPEECH, {"model": "whisper-1"}),
        (SPEECH, {"temperature": "0.7"}),
        (SPEECH, {"prompt": "names: Anna"}),
        (SPEECH, {"include[]": "words"}),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else str(value),
)
def test_a_stream_is_refused_as_any_request(served: Served, content: bytes, fields: dict[str, str]) -> None:
    plain = refused_without_stream(served, content, **fields)
    streamed = served.post(content, stream="true", **fields)

    assert (streamed.status_code, streamed.json()) == (plain.status_code, plain.json())
    assert streamed.headers["content-type"] == "application/json"


@pytest.mark.parametrize("response_format", ["text", "verbose_json"])
def test_events_have_one_format(served: Served, response_format: str) -> None:
    reply = served.post(SPEECH, stream="true", response_format=response_format)

    assert reply.status_code == 400
    error = reply.json()["error"]
    assert (error["param"], error["code"]) == ("response_format", "unsupported_value")
    assert "together with stream; supported: json" in error["message"]
    assert served.recogniser.calls == []


def test_what_the_model_refuses_is_a_400_before_any_event(served: Served) -> None:
    served.recogniser.failure = MediaError("the clip has no end")

    reply = served.post(SPEECH, stream="true")

    assert reply.status_code == 400
    assert reply.json()["error"]["message"] == "the clip has no end"


@pytest.mark.parametrize("after", [0, 2])
def test_a_failing_model_is_reported_logged_and_counted(
    serve: Callable[..., Served], tmp_path: Path, after: int
) -> None:
    served = serve(request_log=tmp_path / "requests")
    served.recogniser.failure = RuntimeError("secret path /x")
    served.recogniser.failure_after = after

    reply = served.post(SPEECH, stream="true")

    if after:
        *deltas, last = events(reply.text)
        assert [event["delta"] for event in deltas] == ["audio", " at"]
    else:
        assert reply.status_code == 500
        last = reply.json()
    assert last["error"]["code"] == "transcription_failed"
    assert "secret" not in reply.text
    assert [record.status for record in logged(tmp_path / "requests")] == [500]
    labels = {"code": "transcription_failed"}
    assert served.registry.get_sample_value("mome_refused_requests_total", labels) == 1
    assert served.registry.get_sample_value("mome_transcription_seconds_count", {"scale": "a16v5"}) is None
    served.recogniser.failure = None
    assert served.post(SPEECH).status_code == 200


def test_the_latency_is_that_of_the_last_token(serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve(request_log=tmp_path / "requests")
    served.recogniser.pause_s = 0.1

    reply = served.post(SPEECH, stream="true", compression_scale="a4v2")

    (record,) = logged(tmp_path / "requests")
    assert (record.request_id, record.status) == (reply.headers["X-Request-ID"], 200)
    assert record.latency_ms >= 300
    labels = {"scale": "a4v2"}
    assert served.registry.get_sample_value("mome_transcription_seconds_count", labels) == 1
    total = served.registry.get_sample_value("mome_transcription_seconds_sum", labels)
    assert total == pytest.approx(record.latency_ms / 1000)


def test_streams_and_texts_use_the_model_in_turn(served: Served) -> None:
    served.recogniser.pause_s = 0.02
    wanted = ["true", "false"] * 4

    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda stream: served.post(SPEECH, stream=stream), wanted))

    assert [reply.status_code for reply in replies] == [200] * 8
    assert (served.recogniser.most_running, served.recogniser.running) == (1, 0)


def test_a_reader_who_leaves_ends_the_decoding_and_frees_the_model(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    served = serve(request_log=tmp_path / "requests")

    async def leave_then_ask_again() -> str:
        served.recogniser.pause_s = 0.05
        answer = served.engine.answer({"file": SPEECH}, None, live=True)
        while not isinstance(await anext(answer), Standing):
            pass
        await answer.aclose()
        with anyio.fail_after(10):
            return (await complete(served.engine.answer({"file": SPEECH}, None, live=False))).text

    assert anyio.run(leave_then_ask_again) == "audio at a16v5"
    deadline = time.monotonic() + 5
    while served.recogniser.running and time.monotonic() < deadline:  # it ends after the text is there
        time.sleep(0.01)
    assert (served.recogniser.left, served.recogniser.running) == (1, 0)
    assert [record.status for record in logged(tmp_path / "requests")] == [499, 200]


def test_a_request_that_took_too_long_is_left_and_the_next_is_answered(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    served = serve(request_log=tmp_path / "requests")
    served.recogniser.pause_s = 0.1

    async def cancel_then_ask_again() -> str:
        slow = asyncio.create_task(complete(served.engine.answer({"file": SPEECH}, None, live=False)))
        while not served.recogniser.running:
            await asyncio.sleep(0.01)
        slow.cancel()  # as BentoML does
        with anyio.fail_after(10):
            text = (await complete(served.engine.answer({"file": SPEECH}, None, live=False))).text
        assert slow.cancelled()
        return text

    assert anyio.run(cancel_then_ask_again) == "audio at a16v5"
    assert (served.recogniser.most_running, served.recogniser.left) == (1, 1)
    assert [record.status for record in logged(tmp_path / "requests")] == [499, 200]
    assert (served.engine.admission.in_flight, served.engine.admission.waiting_s) == (0, 0.0)


def test_a_bad_value_of_stream_is_named(served: Served) -> None:
    error = served.post(SPEECH, stream="yes").json()["error"]
    assert error["message"] == "stream 'yes' is not supported; supported: true, false"
    with pytest.raises(ApiError, match="unknown compression_scale"):
        anyio.run(complete, served.engine.answer({"file": SPEECH}, "a3v3", live=False))
