"""Recordings that the model does not take at once: read in pieces, answered as one."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import numpy as np
import pytest

from mome.reading import Standing
from mome.speech.video import encode_mouth
from serving import patience
from tests.serving.planted import Served, events, syllables, wav
from tests.serving.test_streaming import logged


def talk(seconds: float) -> bytes:
    """Return sentences of two seconds with a second between them."""
    sentence = np.concatenate([syllables(2.0), np.zeros(16_000, np.float32)])
    return wav(np.resize(sentence, round(seconds * 16_000)))


THREE_MINUTES = talk(180.0)


def times(caption: str) -> list[float]:
    return [
        int(hours) * 3600 + int(minutes) * 60 + float(seconds.replace(",", "."))
        for each in caption.split(" --> ")
        for hours, minutes, seconds in [each.split(":")]
    ]


def test_three_minutes_are_one_answer_in_every_format(served: Served) -> None:
    verbose = served.post(THREE_MINUTES, response_format="verbose_json").json()
    segments = verbose["segments"]

    assert verbose["duration"] == 180.0
    assert len(segments) > 5
    assert verbose["text"] == " ".join(segment["text"] for segment in segments)
    assert all(0 < segment["end"] - segment["start"] <= 30.0 for segment in segments)
    ends = [0.0, *(segment["end"] for segment in segments)]
    assert all(segment["start"] >= end for segment, end in zip(segments, ends, strict=False))
    assert segments[-1]["end"] >= 178
    assert served.post(THREE_MINUTES).json() == {"text": verbose["text"]}
    assert served.post(THREE_MINUTES, response_format="text").text == verbose["text"] + "\n"
    captions = served.post(THREE_MINUTES, response_format="srt").text.split("\n\n")[:-1]
    assert [times(caption.split("\n")[1]) for caption in captions] == [
        [pytest.approx(segment["start"], abs=1e-3), pytest.approx(segment["end"], abs=1e-3)]
        for segment in segments
    ]
    assert served.post(THREE_MINUTES, response_format="vtt").text.count(" --> ") == len(segments)


def test_a_stream_sends_pieces_in_order_as_they_are_done(served: Served) -> None:
    *deltas, done = events(served.post(THREE_MINUTES, stream="true").text)

    assert len(deltas) > 10
    assert "".join(event["delta"] for event in deltas) == done["text"]
    assert done["text"] == served.post(THREE_MINUTES).json()["text"]


def test_the_tokens_of_all_deltas_are_those_of_the_whole_text(served: Served) -> None:
    *deltas, done = events(served.post(THREE_MINUTES, stream="true", **{"include[]": "logprobs"}).text)
    for delta in deltas:
        assert "".join(each["token"] for each in delta["logprobs"]) == delta["delta"]
    assert [each for delta in deltas for each in delta["logprobs"]] == done["logprobs"]
    assert "".join(each["token"] for each in done["logprobs"]) == done["text"]


def test_a_model_that_cuts_one_piece_says_so(served: Served) -> None:
    served.recogniser.cut = True
    reply = served.post(THREE_MINUTES, response_format="verbose_json").json()

    assert reply["x_mome"]["cut"] is True
    assert all(segment["x_mome"]["cut"] for segment in reply["segments"])


def test_the_log_has_one_line_for_a_recording(serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve(request_log=tmp_path / "requests")
    served.post(THREE_MINUTES)

    (record,) = logged(tmp_path / "requests")
    assert (record.duration_s, record.status, record.modality) == (180.0, 200, "audio")
    assert served.engine.admission.long_s == 0.0
    assert (served.engine.admission.long, served.engine.admission.in_flight) == (0, 0)


def test_lips_are_read_with_the_sound_they_belong_to(served: Served) -> None:
    mouth = encode_mouth(np.random.default_rng(0).integers(0, 255, (40 * 25, 96, 96), dtype=np.uint8))
    files = {"file": ("a.wav", talk(45.0)), "video": ("a.mp4", mouth)}
    reply = served.client.post(
        "/audio/transcriptions", files=files, data={"response_format": "verbose_json"}
    ).json()

    clips = [clip for _, clip in served.recogniser.calls]
    assert {clip.modality for clip in clips} >= {"av"}
    for clip in clips:
        if clip.samples is not None and clip.mouth is not None:
            assert len(clip.samples) == 640 * len(clip.mouth)
    assert 250 <= sum(len(clip.mouth) for clip in clips if clip.mouth is not None) <= 1000
    blind_s = sum(clip.duration_s for clip in clips if clip.mouth is None)
    assert blind_s >= 5.0, "the picture ends before"
    assert reply["duration"] == 45.0


def test_nothing_is_asked_of_the_model_where_nobody_speaks(served: Served) -> None:
    reply = served.post(wav(np.zeros(16_000 * 150, np.float32)), response_format="verbose_json").json()

    assert (reply["text"], reply["segments"], reply["duration"]) == ("", [], 150.0)
    assert served.recogniser.calls == []


def test_a_short_request_does_not_wait_for_the_end_of_a_long_one(serve: Callable[..., Served]) -> None:
    served = serve(max_batch=2)
    served.recogniser.pause_s = 1.0
    order: list[str] = []

    def post(content: bytes, name: str) -> None:
        assert served.post(content).status_code == 200
        order.append(name)
        served.recogniser.pause_s = 0.0

    with ThreadPoolExecutor(2) as threads:
        threads.submit(post, THREE_MINUTES, "long")
        while not served.recogniser.batches:
            time.sleep(0.01)
        threads.submit(post, wav(syllables(1.0)), "short")

    assert order == ["short", "long"]


def test_only_so_many_long_recordings_are_read_at_a_time(serve: Callable[..., Served]) -> None:
    served = serve(max_long=1, max_batch=1)
    served.recogniser.pause_s = 2.0
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(served.post, THREE_MINUTES)
        while not served.engine.admission.long:
            time.sleep(0.01)
        refused = served.post(THREE_MINUTES)
        served.recogniser.pause_s = 0.0
        assert served.post(wav(syllables(1.0))).status_code == 200
        assert first.result().status_code == 200

    assert refused.status_code == 429
    assert "1 long recordings are read already" in refused.json()["error"]["message"]
    assert int(refused.headers["Retry-After"]) >= 1


def test_a_caller_who_leaves_midway_ends_the_work(served: Served, tmp_path: Path) -> None:
    served.recogniser.pause_s = 0.05

    async def leave() -> None:
        answer = served.engine.answer({"file": THREE_MINUTES}, None, live=True)
        while not isinstance(await anext(answer), Standing):
            pass
        await answer.aclose()

    anyio.run(leave)
    time.sleep(0.3)
    calls = len(served.recogniser.calls)
    time.sleep(0.3)
    assert len(served.recogniser.calls) == calls
    assert (served.engine.admission.long, served.engine.admission.in_flight) == (0, 0)


def test_a_file_that_claims_ten_hours_is_answered_for_what_it_holds(served: Served) -> None:
    samples = (np.frombuffer(talk(40.0)[-40 * 64_000 :], "<f4") * 32767).astype("<i2").tobytes()
    size = 10 * 3600 * 32_000
    header = b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt "
    header += struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16) + b"data" + struct.pack("<I", size)

    reply = served.post(header + samples, response_format="verbose_json").json()
    assert reply["duration"] == 40.0


def test_a_large_upload_is_not_left_behind(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert len(THREE_MINUTES) > 1 << 20
    assert served.post(THREE_MINUTES).status_code == 200
    damaged = served.post(bytes(2 << 20))
    assert damaged.status_code == 400
    assert str(tmp_path) not in damaged.text
    assert served.post(THREE_MINUTES, model="another").status_code == 404
    assert not list(tmp_path.glob("mome-upload-*"))


@pytest.mark.parametrize("response_format", ["json", "verbose_json", "vtt"])
def test_a_reply_that_takes_long_begins_in_time(
    served: Served, monkeypatch: pytest.MonkeyPatch, response_format: str
) -> None:
    soon = served.post(THREE_MINUTES, response_format=response_format)
    monkeypatch.setattr(patience, "PATIENCE_S", 0.05)
    monkeypatch.setattr(patience, "KEEP_ALIVE_S", 0.05)
    served.recogniser.pause_s = 0.1

    late = served.post(THREE_MINUTES, response_format=response_format)
    assert late.status_code == 200
    assert late.headers["content-type"] == soon.headers["content-type"]
    if response_format == "vtt":
        assert late.text.split() == soon.text.split()
        assert late.text.startswith("WEBVTT\n\n\n")
    else:
        assert late.text[0] == "\n"
        assert late.json()["text"] == soon.json()["text"]
