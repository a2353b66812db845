from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from mome.errors import MediaError
from mome.records import Decoding, RequestRecord
from mome.scales import Scale
from mome.speech.video import encode_mouth
from serving.keys import Key
from tests.planted import evaluation, table
from tests.serving.planted import Served, publish, syllables, wav

SPEECH = wav(syllables())
MOUTH = encode_mouth(np.full((25, 96, 96), 90, np.uint8))


def test_json_is_the_default_and_holds_only_the_text(served: Served) -> None:
    reply = served.post(SPEECH)

    assert reply.status_code == 200
    assert reply.json() == {"text": "audio at a16v5"}
    assert reply.headers["X-MoME-Scale"] == "a16v5"


def test_text_is_plain_text(served: Served) -> None:
    reply = served.post(SPEECH, response_format="text")

    assert reply.text == "audio at a16v5\n"
    assert reply.headers["content-type"].startswith("text/plain")


def test_verbose_json_tells_scale_noise_and_version(served: Served) -> None:
    reply = served.post(SPEECH, response_format="verbose_json").json()

    assert reply["text"] == "audio at a16v5"
    assert reply["duration"] == 1.0
    (segment,) = reply["segments"]
    said = {name: segment[name] for name in ("id", "seek", "start", "end", "text", "temperature")}
    assert list(said.values()) == [0, 0, 0.0, 1.0, "audio at a16v5", 0.0]
    assert segment["compression_ratio"] == 14 / len(zlib.compress(b"audio at a16v5"))
    assert segment["no_speech_prob"] < 0.01
    assert (segment["tokens"], segment["avg_logprob"]) == ([10, 11, 12], math.log(0.5))
    assert segment["probability"] == pytest.approx(0.5)
    assert (reply["language"], reply["usage"]) == ("english", {"type": "duration", "seconds": 1.0})
    facts = reply["x_mome"]
    assert facts["scale"] == "a16v5"
    assert facts["modalities"] == ["audio"]
    assert facts["model_version"] == served.engine.bundle.version
    assert isinstance(facts["snr_db"], float)
    assert 0 < facts["speech_share"] <= 1
    assert facts["latency_ms"] > 0


def test_json_tells_on_request_how_probable_each_token_was(served: Served) -> None:
    reply = served.post(SPEECH, **{"include[]": "logprobs"}).json()

    assert reply["text"] == "audio at a16v5"
    assert [each["token"] for each in reply["logprobs"]] == ["audio", " at", " a16v5"]
    assert {each["logprob"] for each in reply["logprobs"]} == {math.log(0.5)}
    assert b"".join(bytes(each["bytes"]) for each in reply["logprobs"]) == b"audio at a16v5"


@pytest.mark.parametrize("wanted", [["word"], ["segment"], ["word", "segment"]])
def test_verbose_json_tells_when_what_was_asked_for_is_said(served: Served, wanted: list[str]) -> None:
    form = {"response_format": "verbose_json", "timestamp_granularities[]": wanted}
    reply = served.client.post("/audio/transcriptions", files={"file": ("a.wav", SPEECH)}, data=form).json()

    assert ("words" in reply, "segments" in reply) == ("word" in wanted, "segment" in wanted)
    if "word" in wanted:
        # The clip lasts a second, and a time is never behind its end.
        assert [list(word.values()) for word in reply["words"]] == [
            ["audio", 0.0, 0.5, 0.5],
            ["at", 0.5, 1.0, 0.5],
            ["a16v5", 1.0, 1.0, 0.5],
        ]


@pytest.mark.parametrize(
    ("judged", "as_judged"),
    [
        (Decoding(num_beams=1, max_new_tokens="by_duration"), True),
        (Decoding(num_beams=15, max_new_tokens="by_duration"), False),
        (None, None),  # a bundle from before it was kept
    ],
)
def test_every_reply_says_whether_texts_are_written_as_the_bundle_was_judged(
    serve: Callable[..., Served], judged: Decoding | None, as_judged: bool | None
) -> None:
    served = serve(judged=judged)
    expected = {"num_beams": 1, "max_new_tokens": "by_duration", "as_judged": as_judged}
    reply = served.post(SPEECH, response_format="verbose_json").json()
    assert reply["x_mome"]["decoding"] == expected
    assert served.client.get("/models").json()["data"][0]["x_mome"]["decoding"] == expected


def test_the_caller_may_choose_the_scale(served: Served) -> None:
    reply = served.post(SPEECH, compression_scale="a4v2")

    assert reply.json()["text"] == "audio at a4v2"
    assert reply.headers["X-MoME-Scale"] == "a4v2"
    assert [scale for scale, _ in served.recogniser.calls] == [Scale(4, 2)]


def test_a_video_beside_the_sound_is_read_too(served: Served) -> None:
    files = {"file": ("a.wav", SPEECH), "video": ("m.mp4", MOUTH)}
    form = {"response_format": "verbose_json"}

    reply = served.client.post("/audio/transcriptions", files=files, data=form).json()

    assert reply["text"] == "av at a16v5"
    assert reply["x_mome"]["modalities"] == ["audio", "video"]
    assert reply["x_mome"]["mouth_sharpness"] is not None


def test_a_silent_video_alone_is_lip_reading(served: Served) -> None:
    assert served.post(MOUTH).json()["text"] == "video at a16v5"


def test_a_model_for_sound_ignores_the_picture(serve: Callable[..., Served]) -> None:
    served = serve(modality="audio")
    files = {"file": ("a.wav", SPEECH), "video": ("m.mp4", MOUTH)}

    assert served.client.post("/audio/transcriptions", files=files).json()["text"] == "audio at a16v5"
    assert served.post(MOUTH).json()["error"]["code"] == "unsupported_modality"


def test_a_model_for_lips_ignores_the_sound_and_refuses_it_alone(serve: Callable[..., Served]) -> None:
    served = serve(modality="video")
    files = {"file": ("a.wav", SPEECH), "video": ("m.mp4", MOUTH)}

    assert served.client.post("/audio/transcriptions", files=files).json()["text"] == "video at a16v5"
    error = served.post(SPEECH).json()["error"]
    assert error["code"] == "unsupported_modality"
    assert error["message"] == "this model was not made for audio recordings; it takes video"


def test_silence_is_answered_and_says_that_there_was_no_speech(served: Served) -> None:
    facts = served.post(wav(np.zeros(16_000, np.float32)), response_format="verbose_json").json()["x_mome"]

    assert facts["speech_share"] == 0
    assert facts["snr_db"] is None


def test_a_published_scale_is_served_from_the_next_request_on(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    file = tmp_path / "scale.json"
    served = serve(scale_file=file)

    before = served.post(SPEECH).headers["X-MoME-Scale"]
    publish(file, "a4v2")
    after = served.post(SPEECH).headers["X-MoME-Scale"]

    assert (before, after) == ("a16v5", "a4v2")
    now = served.client.get("/scale").json()
    assert (now["scale"], now["source"], now["reason"]) == ("a4v2", "scale file", "planted")
    assert now["available"] == ["a4v2", "a16v5"]


def test_an_answered_request_is_logged_as_features(serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve(request_log=tmp_path / "requests")

    request_id = served.post(SPEECH, compression_scale="a4v2").headers["X-Request-ID"]
    served.post(b"no recording")

    (file,) = (tmp_path / "requests").glob("*.jsonl")
    (line,) = file.read_text().splitlines()
    record = RequestRecord.model_validate_json(line)
    assert record.request_id == request_id
    assert (record.scale, record.modality, record.duration_s, record.status) == ("a4v2", "audio", 1.0, 200)
    assert "audio at" not in line


def test_a_failing_model_is_a_500_and_is_logged(serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve(request_log=tmp_path / "requests")
    served.recogniser.failure = RuntimeError("secret path /x")

    reply = served.post(SPEECH)

    assert reply.status_code == 500
    assert reply.json()["error"]["code"] == "transcription_failed"
    assert "secret" not in reply.text
    (file,) = (tmp_path / "requests").glob("*.jsonl")
    assert json.loads(file.read_text())["status"] == 500


def test_a_recording_that_the_model_itself_refuses_is_a_400(served: Served) -> None:
    served.recogniser.failure = MediaError("the clip has no end")

    reply = served.post(SPEECH)

    assert reply.status_code == 400
    assert reply.json()["error"]["message"] == "the clip has no end"


def test_models_are_listed_in_openai_shape(served: Served) -> None:
    listed = served.client.get("/models").json()

    assert listed["object"] == "list"
    (card,) = listed["data"]
    assert (card["id"], card["object"]) == ("mome", "model")
    assert card["x_mome"]["scales"] == ["a4v2", "a16v5"]
    assert served.client.get("/models/mome").json() == card
    assert served.client.get("/models/whisper-9").json()["error"]["code"] == "model_not_found"


def test_latency_is_counted_per_scale(served: Served) -> None:
    served.post(SPEECH)
    served.post(SPEECH, compression_scale="a4v2")
    served.post(SPEECH, compression_scale="a4v2")
    served.post(b"no recording")

    def count(name: str, **labels: str) -> float | None:
        return served.registry.get_sample_value(name, labels)

    assert count("mome_transcription_seconds_count", scale="a16v5") == 1
    assert count("mome_transcription_seconds_count", scale="a4v2") == 2
    assert count("mome_refused_requests_total", code="undecodable_media") == 1


@pytest.mark.parametrize("key", ["", "Bearer wrong", "sesame", "Bearer sésame"])
def test_a_wrong_key_is_a_401(serve: Callable[..., Served], key: str) -> None:
    served = serve(api_keys=(Key("sesame"), Key("open")))

    reply = served.client.get("/models", headers={"Authorization": key.encode()})

    assert reply.status_code == 401
    assert reply.json()["error"]["type"] == "authentication_error"
    for known in ("Bearer sesame", "bearer sesame", "BEARER  open"):
        assert served.client.get("/models", headers={"Authorization": known}).status_code == 200


def test_a_page_of_an_allowed_origin_asks_first_and_without_a_key(serve: Callable[..., Served]) -> None:
    served = serve(api_keys=(Key("sesame"),), cors_origins=("https://app.example",))
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, x-stainless-os",
    }

    def preflight(origin: str) -> httpx.Response:
        return served.client.options("/audio/transcriptions", headers={"Origin": origin, **asked})

    allowed = preflight("https://app.example")
    assert allowed.status_code == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert "x-stainless-os" in allowed.headers["Access-Control-Allow-Headers"].lower()
    assert "Access-Control-Allow-Origin" not in preflight("https://evil.example").headers
    refused = served.client.get("/models", headers={"Origin": "https://app.example"})
    assert refused.status_code == 401
    assert refused.headers["Access-Control-Allow-Origin"] == "https://app.example"


def test_without_the_setting_no_other_origin_may_call(served: Served) -> None:
    reply = served.client.get("/models", headers={"Origin": "https://app.example"})
    assert "Access-Control-Allow-Origin" not in reply.headers


@pytest.mark.parametrize(
    ("wanted", "kind", "said"),
    [
        ("srt", "text/plain", "1\n00:00:00,000 --> 00:00:01,000\naudio at a16v5\n\n"),
        ("vtt", "text/vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\naudio at a16v5\n\n"),
    ],
)
def test_subtitles(served: Served, wanted: str, kind: str, said: str) -> None:
    reply = served.post(SPEECH, response_format=wanted)

    assert reply.text == said
    assert reply.headers["content-type"].startswith(kind)


def test_where_nobody_speaks_the_text_is_empty(served: Served) -> None:
    hiss = np.random.default_rng(0).normal(scale=1e-3, size=32_000).astype(np.float32)
    for content in (np.zeros(32_000, np.float32), hiss, 50 * hiss):
        reply = served.post(wav(content), response_format="verbose_json").json()
        assert (reply["text"], reply["segments"]) == ("", [])
        assert served.post(wav(content), stream="true").text.count("data: ") == 1
        assert served.post(wav(content), response_format="vtt").text == "WEBVTT\n\n"
    assert served.recogniser.calls == []
    quiet = np.rint(syllables() * 0.01 * 32768) / 32768
    assert served.post(wav(quiet.astype(np.float32))).json() == {"text": "audio at a16v5"}


def test_warm_up_runs_every_scale(served: Served) -> None:
    served.engine.warm_up()

    assert {scale for scale, _ in served.recogniser.calls} == set(served.engine.scales)


def test_a_scale_never_trained_is_served_where_the_table_has_it(serve: Callable[..., Served]) -> None:
    rates = table({scale: {"clean": 2} for scale in ("a4v2", "a8v4", "a12v4", "a16v5")})
    # Of a12v4 nobody says that anything reads it.
    served = serve(evaluated=evaluation({"audio": rates}, untrained=["a8v4"]), modality="audio")

    reply = served.post(SPEECH, compression_scale="a8v4")
    refused = served.post(SPEECH, compression_scale="a12v4")

    assert (reply.status_code, reply.headers["X-MoME-Scale"]) == (200, "a8v4")
    assert refused.status_code == 400
    assert "available are a4v2, a8v4, a16v5 and auto" in refused.json()["error"]["message"]
    now = served.client.get("/scale").json()
    assert (now["available"], now["untrained"]) == (["a4v2", "a8v4", "a16v5"], ["a8v4"])
    (card,) = served.client.get("/models").json()["data"]
    assert (card["x_mome"]["scales"], card["x_mome"]["untrained"]) == (now["available"], ["a8v4"])
