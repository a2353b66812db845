"""Limits of a key: what is left is said, what is beyond is refused, and nobody else notices."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import openai
import pytest
from prometheus_client import CollectorRegistry

import serving.quotas
from serving.errors import ApiError
from serving.keys import Key
from serving.metrics import Metrics
from serving.quotas import Quota, Quotas
from tests.serving.over_http import openai_client
from tests.serving.planted import Clock, Served, syllables, wav

SPEECH = wav(syllables())  # a second
PATH = "/audio/transcriptions"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(serving.quotas, "time", clock)
    return clock


def send(quota: Quota, seconds: float = 0.0) -> None:
    with quota.request():
        quota.heard(seconds)


def refusal(quota: Quota) -> ApiError:
    with pytest.raises(ApiError) as caught:
        send(quota)
    return caught.value


def made(**limits: float) -> Quota:
    return Quota(Key("s", "trial", **limits), Metrics(CollectorRegistry()))  # type: ignore[arg-type]


def test_requests_come_back_one_by_one(clock: Clock) -> None:
    quota = made(requests_per_minute=6)
    for _ in range(6):
        send(quota)
    error = refusal(quota)
    assert (error.status, error.type, error.code) == (429, "requests", "rate_limit_exceeded")
    assert error.headers == {"Retry-After": "10"}
    clock.now += 9.9
    assert refusal(quota).headers == {"Retry-After": "1"}
    clock.now += 0.2
    send(quota)
    clock.now += 3600.0  # a pause is not saved up
    assert quota.headers()["x-ratelimit-remaining-requests"] == "6"


def test_a_request_that_was_refused_costs_nothing(clock: Clock) -> None:
    quota = made(requests_per_minute=60, in_flight=1)
    with quota.request():
        for _ in range(100):
            refusal(quota)
    send(quota)
    assert quota.headers()["x-ratelimit-remaining-requests"] == "58"


def test_a_long_recording_is_a_debt_that_is_paid_at_the_pace_of_the_limit(clock: Clock) -> None:
    quota = made(seconds_per_minute=120)
    send(quota, 100.0)
    send(quota, 300.0)  # nobody knows how long it is before it is decoded
    error = refusal(quota)
    assert (error.type, error.code) == ("audio_seconds", "rate_limit_exceeded")
    assert error.headers == {"Retry-After": "141"}  # 280 s of debt and one more, at two a second
    assert quota.headers()["x-ratelimit-remaining-audio-seconds"] == "0"
    clock.now += 141.0
    send(quota)


def test_a_spent_day_is_said_so_that_clients_do_not_try_again(clock: Clock) -> None:
    quota = made(seconds_per_minute=120, seconds_per_day=600)
    for _ in range(6):
        send(quota, 100.0)
        clock.now += 60.0
    clock.now -= 60.0
    send(quota, 20.0)
    error = refusal(quota)
    assert (error.type, error.code) == ("insufficient_quota", "insufficient_quota")
    assert error.headers is not None
    assert error.headers["x-should-retry"] == "false"
    assert quota.headers()["x-ratelimit-limit-audio-seconds"] == "600"


def test_what_is_left_is_written_as_openai_writes_it(clock: Clock) -> None:
    quota = made(requests_per_minute=600, seconds_per_day=7200)
    send(quota, 30.0)
    assert quota.headers() == {
        "x-ratelimit-limit-requests": "600",
        "x-ratelimit-remaining-requests": "599",
        "x-ratelimit-reset-requests": "100ms",
        "x-ratelimit-limit-audio-seconds": "7200",
        "x-ratelimit-remaining-audio-seconds": "7170",
        "x-ratelimit-reset-audio-seconds": "6m0s",
    }
    assert made().headers() == {}


def test_a_key_is_found_by_itself_and_by_what_was_kept_of_it() -> None:
    quotas = Quotas([Key("one", "a"), Key("two", "b")], Metrics(CollectorRegistry()))
    found = quotas.of("two")
    assert found is not None
    assert found.key.name == "b"
    assert quotas.of_digest("3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3") is found
    assert (quotas.of(""), quotas.of("onetwo"), quotas.of_digest("")) == (None, None, None)


def post(served: Served, key: str, content: bytes = SPEECH, **form: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return served.client.post(PATH, files={"file": content}, data=form, headers=headers)  # type: ignore[return-value]


def test_one_key_is_exhausted_and_the_other_goes_on(serve: Callable[..., Served]) -> None:
    served = serve(api_keys=(Key("one", "trial", requests_per_minute=2), Key("two", "team")))
    replies = [post(served, "one") for _ in range(3)]

    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert [reply.headers["x-ratelimit-remaining-requests"] for reply in replies] == ["1", "0", "0"]
    assert int(replies[2].headers["Retry-After"]) in range(25, 31)
    error = replies[2].json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("requests", "rate_limit_exceeded", None)
    assert "the key 'trial': 2 requests a minute" in error["message"]
    assert "X-Request-ID" in replies[2].headers
    other = post(served, "two")
    assert other.status_code == 200
    assert not any(name.startswith("x-ratelimit") for name in other.headers)
    assert served.client.get("/models", headers={"Authorization": "Bearer one"}).status_code == 200
    assert [post(served, key).status_code for key in ("", "three")] == [401, 401]


def test_the_metrics_name_keys_and_never_show_them(serve: Callable[..., Served]) -> None:
    served = serve(api_keys=(Key("sesame", "trial", seconds_per_minute=1.5), Key("open", "key-2")))
    statuses = [post(served, "sesame").status_code for _ in range(3)]

    assert statuses == [200, 200, 429]
    figure = served.registry.get_sample_value
    assert figure("mome_key_requests_total", {"key": "trial"}) == 2
    assert figure("mome_key_seconds_total", {"key": "trial"}) == pytest.approx(2.0)
    assert figure("mome_key_refused_requests_total", {"key": "trial", "limit": "seconds_per_minute"}) == 1
    assert figure("mome_refused_requests_total", {"code": "rate_limit_exceeded"}) == 1
    shown = [
        value for family in served.registry.collect() for s in family.samples for value in s.labels.values()
    ]
    assert not {"sesame", "open"} & set(shown)


def test_a_request_is_in_flight_until_its_last_event_was_sent(serve: Callable[..., Served]) -> None:
    served = serve(api_keys=(Key("one", "trial", in_flight=1),))
    served.recogniser.pause_s = 0.3
    first = threading.Thread(target=post, args=(served, "one"), kwargs={"stream": "true"})
    first.start()
    while not served.recogniser.running:
        time.sleep(0.01)
    refused = post(served, "one")
    first.join()
    served.recogniser.pause_s = 0.0

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert post(served, "one").status_code == 200


def test_a_job_is_counted_when_it_is_sent_and_its_seconds_when_it_is_read(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    served = serve(jobs=tmp_path / "jobs", api_keys=(Key("one", "trial", seconds_per_minute=60),))
    headers = {"Authorization": "Bearer one"}
    sent = served.client.post(f"{PATH}/jobs", files={"file": wav(syllables(90.0))}, headers=headers)
    assert sent.status_code == 202
    job = sent.headers["Location"]
    while served.client.get(job, headers=headers).json()["ended_at"] is None:
        time.sleep(0.05)

    assert post(served, "one").status_code == 429
    assert served.client.get(f"{job}/result", headers=headers).status_code == 200


def test_openais_client_tells_an_exhausted_key_from_a_wrong_one(serve: Callable[..., Served]) -> None:
    served = serve(api_keys=(Key("sesame", "trial", requests_per_minute=1),))
    with openai_client(served) as client:
        given = client.audio.transcriptions.with_raw_response.create(file=("a.wav", SPEECH), model="mome")
        assert given.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError, match="1 requests a minute") as caught:
            client.audio.transcriptions.create(file=("a.wav", SPEECH), model="mome")
        assert caught.value.code == "rate_limit_exceeded"
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="open").models.list()
