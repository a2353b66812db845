"""A session over a WebSocket, event by event; only the model behind it is planted."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from scipy.signal import resample_poly
from starlette.testclient import WebSocketDenialResponse, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from mome.records import RequestRecord
from mome.synthesis.speakers import speakers
from mome.synthesis.speech import speak
from serving.keys import Key
from tests.serving.planted import Served, publish, syllables

RATE = 16_000
COMPLETED = "conversation.item.input_audio_transcription.completed"
DELTA = "conversation.item.input_audio_transcription.delta"
FAILED = "conversation.item.input_audio_transcription.failed"


class Client:
    """What a client sends and hears."""

    def __init__(self, socket: WebSocketTestSession) -> None:
        self.socket = socket

    def send(self, kind: str, **fields: Any) -> None:
        self.socket.send_json({"type": kind, **fields})

    def set(self, **given: Any) -> dict[str, Any]:
        sound = {"format": {"type": "audio/pcm", "rate": RATE}, **given.pop("input", {})}
        self.send("session.update", session={"type": "transcription", "audio": {"input": sound}, **given})
        return self.hear()

    def say(self, samples: np.ndarray, piece_s: float = 0.1) -> None:
        pcm = (samples.clip(-1, 1) * 32_767).astype("<i2").tobytes()
        size = 2 * round(piece_s * RATE)
        for start in range(0, len(pcm), size):
            self.send("input_audio_buffer.append", audio=base64.b64encode(pcm[start : start + size]).decode())

    def hear(self) -> dict[str, Any]:
        event: dict[str, Any] = self.socket.receive_json()
        assert event["event_id"]
        return event

    def until(self, kind: str) -> list[dict[str, Any]]:
        events = [self.hear()]
        while events[-1]["type"] != kind:
            events.append(self.hear())
        return events


@contextmanager
def connected(served: Served, path: str = "/realtime", **options: Any) -> Iterator[Client]:
    with served.client.websocket_connect(path, **options) as socket:
        yield Client(socket)


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with connected(served) as client:
        assert client.hear()["type"] == "session.created"
        yield client


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    """A sentence that voice activity takes for speech, which `syllables` are not."""
    voice = speakers("test")[0].voice
    spoken = speak("place white with p two now", voice).samples
    return (0.5 * resample_poly(spoken, 320, 441) / np.abs(spoken).max()).astype(np.float32)


def quiet(seconds: float) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 1e-4, round(seconds * RATE)).astype(np.float32)


def test_what_is_committed_is_answered_in_openais_order(client: Client, served: Served) -> None:
    assert client.set(input={"turn_detection": None})["type"] == "session.updated"
    client.say(syllables())
    client.send("input_audio_buffer.commit")

    events = client.until(COMPLETED)

    assert [event["type"] for event in events] == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        DELTA,
        COMPLETED,
    ]
    assert len({event.get("item_id") or event["item"]["id"] for event in events}) == 1
    assert (events[-1]["transcript"], events[-2]["delta"]) == ("audio at a16v5", "audio at a16v5")
    assert events[-1]["usage"] == {"type": "duration", "seconds": 1.0}
    assert events[-1]["x_mome"]["scale"] == "a16v5"
    ((_, clip),) = served.recogniser.calls
    assert clip.samples is not None
    np.testing.assert_allclose(clip.samples, syllables().clip(-1, 1), atol=1e-4)


def test_turns_are_found_read_along_and_named_in_milliseconds(client: Client, speech: np.ndarray) -> None:
    client.set()
    client.say(np.concatenate((quiet(1.0), speech, quiet(1.0))))

    events = client.until(COMPLETED)

    kinds = [event["type"] for event in events]
    assert kinds[0] == "input_audio_buffer.speech_started"
    assert kinds.index("input_audio_buffer.speech_stopped") < kinds.index("input_audio_buffer.committed")
    assert 550 <= events[0]["audio_start_ms"] <= 1_000  # with 300 ms before the speech
    stopped = next(event for event in events if event["type"] == "input_audio_buffer.speech_stopped")
    ends_ms = 1_000 + len(speech) / 16
    assert ends_ms - 300 <= stopped["audio_end_ms"] <= ends_ms + 300
    assert "".join(event["delta"] for event in events if event["type"] == DELTA) == events[-1]["transcript"]


def test_words_come_with_how_sure_the_model_was_where_that_is_wished(
    client: Client, speech: np.ndarray
) -> None:
    client.set(include=["item.input_audio_transcription.logprobs"])
    client.say(np.concatenate((quiet(1.0), speech, quiet(1.0))))
    events = client.until(COMPLETED)
    deltas = [event for event in events if event["type"] == DELTA]
    assert deltas
    for delta in deltas:
        assert "".join(each["token"] for each in delta["logprobs"]) == delta["delta"]
    assert [each for delta in deltas for each in delta["logprobs"]] == events[-1]["logprobs"]


def test_the_next_item_names_the_one_before(client: Client) -> None:
    client.set(input={"turn_detection": None})
    ids = []
    for _ in range(2):
        client.say(syllables())
        client.send("input_audio_buffer.commit")
        committed = client.until(COMPLETED)[0]
        ids.append((committed["previous_item_id"], committed["item_id"]))

    assert ids[0][0] is None
    assert ids[1][0] == ids[0][1]


def test_a_scale_of_the_session_comes_before_the_one_in_force(client: Client) -> None:
    client.set(input={"turn_detection": None}, compression_scale="a4v2")
    client.say(syllables())
    client.send("input_audio_buffer.commit")

    assert client.until(COMPLETED)[-1]["transcript"] == "audio at a4v2"
    assert client.set(compression_scale="a9v9")["error"]["code"] == "unknown_scale"


def test_a_switch_of_the_scale_reaches_the_next_utterance(
    serve: Callable[..., Served], tmp_path: Any
) -> None:
    scale_file = tmp_path / "scale.json"
    with connected(serve(scale_file=scale_file)) as client:
        client.hear()
        client.set(input={"turn_detection": None})
        texts = []
        for scale in ("a16v5", "a4v2"):
            publish(scale_file, scale)
            client.say(syllables())
            client.send("input_audio_buffer.commit")
            texts.append(client.until(COMPLETED)[-1]["transcript"])

    assert texts == ["audio at a16v5", "audio at a4v2"]


def test_an_utterance_that_is_too_long_goes_on_as_a_new_item(serve: Callable[..., Served]) -> None:
    served = serve()
    served.engine.max_duration_s = 2.0
    with connected(served) as client:
        client.hear()
        client.set(input={"turn_detection": None})
        client.say(syllables(5.0))
        client.send("input_audio_buffer.commit")
        done: list[dict[str, Any]] = []
        while sum(event["usage"]["seconds"] for event in done) < 4.99:
            done += client.until(COMPLETED)[-1:]

    assert all(event["usage"]["seconds"] <= 2.0 for event in done)
    assert sum(event["usage"]["seconds"] for event in done) == pytest.approx(5.0, abs=0.01)
    assert all(clip.duration_s <= 2.0 for _, clip in served.recogniser.calls)


def test_a_long_turn_is_cut_and_every_part_is_announced(
    serve: Callable[..., Served], speech: np.ndarray
) -> None:
    served = serve()
    served.engine.max_duration_s = 1.0
    with connected(served) as client:
        client.hear()
        client.set(input={"turn_detection": {"type": "server_vad", "silence_duration_ms": 1_000}})
        client.say(np.concatenate((speech, speech, quiet(1.5))))
        events: list[dict[str, Any]] = []
        while sum(event["type"] == COMPLETED for event in events) < 3:
            events += client.until(COMPLETED)

    started = [event["item_id"] for event in events if event["type"].endswith("speech_started")]
    stopped = [event["item_id"] for event in events if event["type"].endswith("speech_stopped")]
    assert started[: len(stopped)] == stopped
    assert len(set(stopped)) >= 3


def test_a_client_faster_than_the_model_is_read_no_faster(serve: Callable[..., Served]) -> None:
    served = serve()
    served.engine.max_duration_s = 1.0
    served.recogniser.pause_s = 0.1
    with connected(served) as client:
        client.hear()
        client.set(input={"turn_detection": None})
        client.say(syllables(12.0), piece_s=12.0)
        client.send("input_audio_buffer.commit")
        read_s, most_s = 0.0, 0.0
        committed: dict[str, float] = {}
        while read_s < 11.99:
            event = client.hear()
            if event["type"] == "input_audio_buffer.committed":
                committed[event["item_id"]] = 1.0  # each part has at most that
            elif event["type"] == COMPLETED:
                most_s = max(most_s, sum(committed.values()))
                del committed[event["item_id"]]
                read_s += event["usage"]["seconds"]

    assert read_s == pytest.approx(12.0, abs=0.01)
    assert most_s <= 4.0


def test_silence_that_is_committed_has_no_words(client: Client) -> None:
    client.set(input={"turn_detection": None})
    client.say(np.zeros(2 * RATE, np.float32))
    client.send("input_audio_buffer.commit")

    events = client.until(COMPLETED)
    assert events[-1]["transcript"] == ""
    assert DELTA not in [event["type"] for event in events]


def test_what_is_cleared_is_not_read(client: Client, served: Served) -> None:
    client.set(input={"turn_detection": None})
    client.say(syllables())
    client.send("input_audio_buffer.clear")
    assert client.hear()["type"] == "input_audio_buffer.cleared"
    client.send("input_audio_buffer.commit", event_id="mine")

    error = client.hear()["error"]
    assert (error["code"], error["event_id"]) == ("input_audio_buffer_commit_empty", "mine")
    assert served.recogniser.calls == []


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("{", "invalid_json"),
        ("[1]", "invalid_json"),
        ("[" * 100_000, "invalid_json"),
        ('{"type": "response.create"}', "unknown_event"),
        ('{"type": 7}', "unknown_event"),
        ('{"type": "session.update"}', "invalid_value"),
        ('{"type": "input_audio_buffer.append"}', "invalid_base64"),
        ('{"type": "input_audio_buffer.append", "audio": "???"}', "invalid_base64"),
        ('{"type": "input_audio_buffer.commit"}', "input_audio_buffer_commit_empty"),
        (
            '{"type": "session.update", "session": {"audio": {"input": {"transcription": {"model": "x"}}}}}',
            "model_not_found",
        ),
    ],
)
def test_bad_events_are_refused_and_the_session_goes_on(client: Client, sent: str, code: str) -> None:
    client.socket.send_text(sent)

    event = client.hear()
    assert (event["type"], event["error"]["code"]) == ("error", code)
    assert client.set()["type"] == "session.updated"


def test_bytes_in_place_of_text_are_refused(client: Client) -> None:
    client.socket.send_bytes(b"\0\1")
    assert client.hear()["error"]["code"] == "invalid_json"


def test_an_event_that_is_too_large_ends_the_session(client: Client) -> None:
    client.socket.send_text("x" * 4_000_001)

    assert client.hear()["error"]["code"] == "message_too_large"
    with pytest.raises(WebSocketDisconnect) as closed:
        client.hear()
    assert closed.value.code == 1009


def test_one_session_too_many_is_told_to_come_again(serve: Callable[..., Served]) -> None:
    served = serve(max_sessions=1)
    with connected(served) as first:
        first.hear()
        with connected(served) as second:
            error = second.hear()["error"]
            with pytest.raises(WebSocketDisconnect) as closed:
                second.hear()
        assert (error["code"], error["type"], closed.value.code) == ("rate_limit_exceeded", "requests", 1013)
        assert served.registry.get_sample_value("mome_realtime_sessions") == 1
    with connected(served) as third:
        assert third.hear()["type"] == "session.created"


def test_who_sends_nothing_is_let_go(serve: Callable[..., Served]) -> None:
    with connected(serve(session_idle_s=0.2)) as client:
        client.hear()
        assert client.hear()["error"]["code"] == "session_idle"
        with pytest.raises(WebSocketDisconnect):
            client.hear()


def test_a_service_that_ends_answers_what_was_said_and_goes_away(
    client: Client, served: Served, speech: np.ndarray
) -> None:
    client.set()
    served.recogniser.pause_s = 0.1
    client.say(speech[: len(speech) // 2])
    client.until("input_audio_buffer.speech_started")
    served.engine.admission.draining = True

    assert client.until(COMPLETED)[-1]["transcript"] == "audio at a16v5"
    with pytest.raises(WebSocketDisconnect) as closed:
        client.hear()
    assert closed.value.code == 1001
    with connected(served) as late:
        assert late.hear()["error"]["code"] == "shutting_down"


def test_a_client_who_leaves_leaves_nothing_behind(serve: Callable[..., Served]) -> None:
    served = serve()
    served.recogniser.pause_s = 0.2
    with connected(served) as client:
        client.hear()
        client.set(input={"turn_detection": None})
        client.say(syllables())
        client.send("input_audio_buffer.commit")
        client.until("input_audio_buffer.committed")

    admission = served.engine.admission
    deadline = time.monotonic() + 5
    while (admission.in_flight or admission.arriving) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (admission.in_flight, admission.waiting, admission.arriving, admission.coming) == (0, 0, 0, 0)
    assert served.registry.get_sample_value("mome_realtime_sessions") == 0


def test_a_model_that_fails_fails_one_item(client: Client, served: Served) -> None:
    client.set(input={"turn_detection": None})
    served.recogniser.failure = RuntimeError("planted")
    client.say(syllables())
    client.send("input_audio_buffer.commit")
    assert client.until(FAILED)[-1]["error"]["code"] == "transcription_failed"

    served.recogniser.failure = None
    client.say(syllables())
    client.send("input_audio_buffer.commit")
    assert client.until(COMPLETED)[-1]["transcript"] == "audio at a16v5"


def test_an_utterance_is_one_line_of_the_request_log(
    serve: Callable[..., Served], tmp_path: Any, speech: np.ndarray
) -> None:
    served = serve(request_log=tmp_path / "log")
    with connected(served) as client:
        client.hear()
        client.set()
        client.say(np.concatenate((speech, quiet(1.0))))
        done = client.until(COMPLETED)[-1]
    served.engine.close()

    (file,) = (tmp_path / "log").glob("*.jsonl")
    (record,) = [RequestRecord.model_validate_json(line) for line in file.read_text().splitlines()]
    assert (record.request_id, record.scale, record.status) == (done["item_id"], "a16v5", 200)
    assert record.duration_s == pytest.approx(done["usage"]["seconds"])
    assert served.registry.get_sample_value("mome_realtime_final_seconds_count") == 1


def test_the_older_dialect_is_answered_in_kind(served: Served) -> None:
    with connected(served, headers={"OpenAI-Beta": "realtime=v1"}) as client:
        assert client.hear()["type"] == "transcription_session.created"
        client.send(
            "transcription_session.update",
            session={"input_audio_format": "g711_ulaw", "turn_detection": None},
        )
        assert client.hear()["type"] == "transcription_session.updated"
        client.send("input_audio_buffer.append", audio=base64.b64encode(b"\x7f" * 8_000).decode())
        client.send("input_audio_buffer.commit")
        kinds = [event["type"] for event in client.until(COMPLETED)]
    assert "conversation.item.created" in kinds
    assert "conversation.item.added" not in kinds


@pytest.mark.parametrize("path", ["/realtime?intent=conversation", "/realtime?model=gpt-realtime"])
def test_what_is_not_served_is_said_before_anything_is_sent(served: Served, path: str) -> None:
    with connected(served, path) as client:
        assert client.hear()["type"] == "error"
        with pytest.raises(WebSocketDisconnect) as closed:
            client.hear()
    assert closed.value.code == 1008


def test_a_key_is_asked_for_in_a_header_or_a_subprotocol(serve: Callable[..., Served]) -> None:
    served = serve(api_keys=(Key("sesame"),))
    for options in (
        {"headers": {"Authorization": "Bearer sesame"}},
        {"subprotocols": ["realtime", "openai-insecure-api-key.sesame"]},
    ):
        with connected(served, **options) as client:
            assert client.hear()["type"] == "session.created"
    for options in ({}, {"subprotocols": ["realtime", "openai-insecure-api-key.open"]}):
        with pytest.raises(WebSocketDenialResponse) as refused, connected(served, **options):
            pass
        assert refused.value.status_code == 401
        assert refused.value.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize(
    ("origins", "origin", "opens"),
    [
        ((), "http://testserver", True),
        ((), "https://elsewhere.example", False),
        (("https://elsewhere.example",), "https://elsewhere.example", True),
        (("*",), "https://elsewhere.example", True),
    ],
)
def test_pages_of_other_origins_may_not_listen(
    serve: Callable[..., Served], origins: tuple[str, ...], origin: str, opens: bool
) -> None:
    served = serve(cors_origins=origins)
    if opens:
        with connected(served, headers={"Origin": origin}) as client:
            assert client.hear()["type"] == "session.created"
        return
    with pytest.raises(WebSocketDenialResponse) as refused, connected(served, headers={"Origin": origin}):
        pass
    assert refused.value.json()["error"]["code"] == "origin_not_allowed"
