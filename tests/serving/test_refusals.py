"""Every 4xx has OpenAI's shape, a stable code, and a message that names the thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest

from tests.serving.planted import Served, syllables, wav

SPEECH = wav(syllables())


def assert_refused(reply: httpx.Response, *, status: int, code: str, param: str | None, says: str) -> None:
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (reply.status_code, error["code"], error["param"]) == (status, code, param)
    assert error["type"] == "invalid_request_error"
    assert says in error["message"]


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (b"", "empty_file", "'file' is empty"),
        (b"these are not the bytes of a recording", "undecodable_media", "cannot be decoded"),
        (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", "undecodable_media", "cannot be decoded"),
        (wav(np.zeros(0, np.float32)), "undecodable_media", "no audio samples"),
        (wav(np.full(16_000, np.nan, np.float32)), "not_finite", "NaN"),
        (wav(np.full(16_000, np.inf, np.float32)), "not_finite", "infinity"),
        (wav(syllables(0.07)), "too_short", "3 audio frames (0.070 s), and the finest scale pools 4"),
        (wav(np.append(syllables(31.0), np.nan).astype(np.float32)), "not_finite", "NaN"),
    ],
    ids=["empty", "text", "playlist", "no samples", "NaN", "infinity", "too short", "NaN far behind"],
)
def test_an_unusable_recording_is_refused(served: Served, content: bytes, code: str, says: str) -> None:
    assert_refused(served.post(content), status=400, code=code, param="file", says=says)
    assert served.recogniser.calls == []


def test_what_the_finest_scale_can_read_the_coarsest_reads_with_silence_behind(served: Served) -> None:
    digit = syllables(0.25)
    for scale, samples in (("a4v2", 4000), ("a16v5", 16 * 320)):
        reply = served.post(wav(digit), compression_scale=scale, response_format="verbose_json").json()
        assert (reply["text"], reply["duration"]) == (f"audio at {scale}", 0.25)
        _, clip = served.recogniser.calls[-1]
        assert clip.samples is not None
        assert len(clip.samples) == samples
        np.testing.assert_allclose(clip.samples[:4000], digit, atol=1e-6)
        assert not clip.samples[4000:].any()


@pytest.mark.parametrize(("most_s", "seconds"), [(2.0, 2.5), (40.0, 41.0)])
def test_what_is_longer_than_the_service_takes_is_refused(
    serve: Callable[..., Served], most_s: float, seconds: float
) -> None:
    reply = serve(max_duration_s=most_s).post(wav(syllables(seconds)))
    assert_refused(reply, status=400, code="too_long", param="file", says=f"longer than {most_s:g} s")


def test_a_missing_file_is_refused(served: Served) -> None:
    reply = served.client.post("/audio/transcriptions", files={"model": (None, "mome")})
    assert_refused(reply, status=400, code="missing_file", param="file", says="no 'file'")


@pytest.mark.parametrize("text", ["http://127.0.0.1:1/a.wav", "file:///etc/passwd", "words"])
def test_an_address_is_not_fetched(served: Served, text: str) -> None:
    reply = served.client.post("/audio/transcriptions", files={"file": (None, text)})
    assert_refused(reply, status=400, code="not_a_file", param="file", says="not fetched")


@pytest.mark.parametrize("scale", ["a3v3", "a0v1", "coarse", "a4v2 "])
def test_an_unknown_scale_is_refused_with_those_there_are(served: Served, scale: str) -> None:
    reply = served.post(SPEECH, compression_scale=scale)
    assert_refused(
        reply, status=400, code="unknown_scale", param="compression_scale", says="available are a4v2, a16v5"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("response_format", "diarized_json"),
        ("response_format", ""),
        ("stream", "yes"),
        ("temperature", "0.7"),
        ("temperature", "hot"),
        ("prompt", "names: Anna"),
        ("timestamp_granularities[]", "word"),  # without verbose_json
        ("timestamp_granularities", "phoneme"),
        ("include[]", "words"),
        ("include", "words"),
        ("chunking_strategy", "fixed"),
        ("chunking_strategy", '{"type": "server_vad", "threshold": 0.5}'),
        ("chunking_strategy", "{"),
    ],
)
def test_what_the_model_cannot_do_is_refused_and_not_ignored(served: Served, name: str, value: str) -> None:
    reply = served.post(SPEECH, **{name: value})
    param = f"{name}[]" if name in ("timestamp_granularities", "include") else name
    assert_refused(reply, status=400, code="unsupported_value", param=param, says=repr(value))


def test_words_are_refused_by_a_model_that_was_taught_no_times(
    serve: Callable[..., Served],
) -> None:
    form = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    untaught = serve(timed=False)
    assert_refused(
        untaught.post(SPEECH, **form),
        status=400,
        code="unsupported_value",
        param="timestamp_granularities[]",
        says="the model gives no word times",
    )


def test_what_changes_nothing_is_accepted(served: Served) -> None:
    reply = served.post(SPEECH, model="mome", language="en", temperature="0", stream="false", prompt="")
    assert reply.status_code == 200
    for strategy in ("auto", '"auto"', '{"type": "server_vad"}', ""):
        assert served.post(SPEECH, chunking_strategy=strategy).status_code == 200
    assert served.post(SPEECH, **{"chunking_strategy[type]": "server_vad"}).status_code == 200


def test_a_list_is_given_as_one_part_for_each_value(served: Served) -> None:
    form = {"response_format": "verbose_json", "timestamp_granularities[]": ["segment", "segment"]}
    files = {"file": ("a.wav", SPEECH)}
    assert served.client.post("/audio/transcriptions", files=files, data=form).status_code == 200
    form["timestamp_granularities[]"] = ["segment", "phoneme"]
    assert_refused(
        served.client.post("/audio/transcriptions", files=files, data=form),
        status=400,
        code="unsupported_value",
        param="timestamp_granularities[]",
        says="'phoneme' is not supported; supported: segment",
    )


def test_a_member_of_an_object_that_is_given_twice_is_refused(served: Served) -> None:
    form = {"chunking_strategy[type]": ["auto", "server_vad"]}
    reply = served.client.post("/audio/transcriptions", files={"file": ("a.wav", SPEECH)}, data=form)
    assert_refused(reply, status=400, code="duplicate_field", param="chunking_strategy", says="twice")


@pytest.mark.parametrize(
    "disposition",
    [
        "form-data; name=\"file\"; filename*=UTF-8''za%C5%BC.wav",
        "form-data; filename*=iso-8859-1'en'm%FCller.wav; name=file",
        'form-data; name="file"; filename="a.wav"; filename*=UTF-8\'\'a.wav',
    ],
)
def test_a_name_with_accents_makes_a_file_as_well(served: Served, disposition: str) -> None:
    head = f"--xXx\r\nContent-Disposition: {disposition}\r\nContent-Type: audio/wav\r\n\r\n"
    body = head.encode() + SPEECH + b"\r\n--xXx--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=xXx"}
    reply = served.client.post("/audio/transcriptions", content=body, headers=kind)
    assert (reply.status_code, reply.json()) == (200, {"text": "audio at a16v5"})


def test_an_unknown_field_is_refused(served: Served) -> None:
    reply = served.post(SPEECH, compresion_scale="a4v2")
    assert_refused(
        reply, status=400, code="unknown_field", param="compresion_scale", says="known are file, video, "
    )


def test_an_unknown_file_is_refused(served: Served) -> None:
    reply = served.client.post("/audio/transcriptions", files={"audio": ("a.wav", SPEECH)})
    assert_refused(
        reply, status=400, code="unknown_field", param="audio", says="'file' and, optionally, 'video'"
    )


def test_a_file_given_twice_is_refused(served: Served) -> None:
    files = [("file", ("a.wav", SPEECH)), ("file", ("b.wav", SPEECH))]
    reply = served.client.post("/audio/transcriptions", files=files)
    assert_refused(reply, status=400, code="duplicate_field", param="file", says="twice")


def test_another_model_is_not_found(served: Served) -> None:
    reply = served.post(SPEECH, model="whisper-1")
    assert_refused(reply, status=404, code="model_not_found", param="model", says="this service has 'mome'")


def test_a_model_answers_to_its_other_names(serve: Callable[..., Served]) -> None:
    served = serve(model_aliases=("whisper-1",))
    assert served.post(SPEECH, model="whisper-1").status_code == 200
    assert served.client.get("/models/whisper-1").json()["id"] == "mome"
    assert_refused(
        served.post(SPEECH, model="whisper-2"),
        status=404,
        code="model_not_found",
        param="model",
        says="this service has 'mome', 'whisper-1'",
    )


def test_an_unknown_path_and_a_wrong_method_have_the_same_shape(served: Served) -> None:
    assert_refused(
        served.client.get("/translations"), status=404, code="not_found", param=None, says="/translations"
    )
    assert_refused(
        served.client.get("/audio/transcriptions"),
        status=405,
        code="method_not_allowed",
        param=None,
        says="does not take GET",
    )


def test_a_body_that_is_no_form_is_refused(served: Served) -> None:
    reply = served.client.post("/audio/transcriptions", content=SPEECH)
    assert_refused(
        reply, status=415, code="unsupported_content_type", param=None, says="expected multipart/form-data"
    )


@pytest.mark.parametrize("boundary", ["; boundary=x", ""])
def test_a_broken_form_is_refused(served: Served, boundary: str) -> None:
    headers = {"content-type": f"multipart/form-data{boundary}"}
    reply = served.client.post("/audio/transcriptions", content=b"--y\r\nhello", headers=headers)
    assert_refused(reply, status=400, code="malformed_form", param=None, says="the form cannot be read")


def test_a_declared_size_over_the_limit_is_refused(serve: Callable[..., Served]) -> None:
    served = serve(max_upload_bytes=10_000)
    assert_refused(
        served.post(SPEECH), status=413, code="file_too_large", param="file", says="larger than 0.01 MB"
    )


def test_an_undeclared_size_is_counted_while_it_arrives(serve: Callable[..., Served]) -> None:
    served = serve(max_upload_bytes=10_000)

    def body() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        for _ in range(100):
            yield bytes(1_000)
        yield b"\r\n--x--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=x"}
    reply = served.client.post("/audio/transcriptions", content=body(), headers=headers)
    assert_refused(reply, status=413, code="file_too_large", param="file", says="larger than 0.01 MB")
