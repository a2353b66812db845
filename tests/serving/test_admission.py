"""Who is let in, who is told to come again, and what the figures of it show."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import CollectorRegistry

import serving.admission
from serving.admission import Admission
from serving.errors import ApiError
from serving.metrics import Metrics
from tests.serving.planted import Clock, Served, syllables, wav

SPEECH = wav(syllables())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(serving.admission, "time", clock)
    return clock


def admission(max_waiting_s: float = 60.0) -> tuple[Admission, Callable[[str], float | None]]:
    registry = CollectorRegistry()
    made = Admission(max_waiting_s, 30.0, 2, Metrics(registry))
    return made, lambda name: registry.get_sample_value(f"mome_{name}")


def refusal(made: Admission, num_bytes: int | None = 32_000) -> ApiError:
    with pytest.raises(ApiError) as caught:
        made.check(num_bytes)
    return caught.value


def test_seconds_are_bounded_and_not_requests() -> None:
    made, _ = admission(60.0)
    with made.place(10 * 32_000) as first, made.place(1_000) as second:
        first.decoded(30.0)
        second.decoded(29.5)
        made.check(8_000)
        assert refusal(made).status == 429
        second.began()
        made.check(32_000)


def test_alone_any_recording_is_let_in() -> None:
    made, _ = admission(5.0)
    with made.place(100_000_000) as place:
        place.decoded(30.0)
        assert refusal(made).code == "rate_limit_exceeded"
    made.check(100_000_000)


def test_a_body_of_unknown_size_counts_as_the_longest_recording() -> None:
    made, _ = admission(59.0)
    with made.place(31 * 32_000):
        made.check(28 * 32_000)
        assert refusal(made, None).status == 429


def test_sizes_are_judged_by_what_earlier_ones_held() -> None:
    made, _ = admission(60.0)
    assert made.check(320_000) == pytest.approx(10.0)
    for _ in range(60):
        with made.place(320_000) as place:
            place.decoded(1.0)  # video
    assert made.check(320_000) == pytest.approx(1.0, rel=0.02)


def test_when_to_come_again_follows_from_the_measured_rate(clock: Clock) -> None:
    made, _ = admission(60.0)
    for _ in range(10):
        with made.place(64_000) as place:
            place.decoded(20.0)
            place.began()
            clock.now += 2.0
        clock.now += 100.0  # idle times do not count
    with made.place(64_000) as place:
        place.decoded(60.0)
        error = refusal(made)
        assert error.headers == {"Retry-After": "6"}  # 60 s at ten seconds a second
        assert "60 s of recordings wait already; try again in 6 s" in str(error)


def test_nobody_is_let_in_to_wait_in_vain(clock: Clock) -> None:
    made, _ = admission(10_000.0)
    with made.place(64_000) as place:
        place.decoded(1.0)
        place.began()
        clock.now += 4.0  # a slow model: four times as long as the recording
    with made.place(64_000) as place:
        place.decoded(7.0)
        made.check(64_000)
    with made.place(64_000) as place:
        place.decoded(8.0)
        assert refusal(made).status == 429


def test_the_figures_show_what_waits_and_are_zero_afterwards() -> None:
    made, figure = admission()
    with made.place(64_000) as first, made.place(32_000) as second:
        assert (figure("waiting_requests"), figure("in_flight_requests")) == (2, 2)
        assert figure("waiting_seconds") == pytest.approx(3.0)
        assert made.coming == 2
        first.decoded(2.5)
        assert figure("waiting_seconds") == pytest.approx(3.5)
        first.began()
        second.decoded(1.0)
        assert (figure("waiting_requests"), figure("in_flight_requests")) == (1, 2)
        assert figure("waiting_seconds") == pytest.approx(1.0)
        assert made.coming == 0
    assert (figure("waiting_requests"), figure("in_flight_requests")) == (0, 0)
    assert figure("waiting_seconds") == 0


def test_a_request_that_fails_frees_its_place() -> None:
    made, figure = admission()
    with pytest.raises(ZeroDivisionError), made.place(64_000):
        raise ZeroDivisionError
    assert (figure("waiting_seconds"), made.in_flight, made.coming) == (0, 0, 0)


@pytest.fixture
def full(serve: Callable[..., Served]) -> Iterator[Served]:
    """A service that reads one recording, while another waits and leaves no room."""
    served = serve(max_waiting_s=1.5, max_batch=1)
    served.recogniser.pause_s = 0.3
    threads = [threading.Thread(target=served.post, args=[SPEECH]) for _ in range(2)]
    for count, thread in enumerate(threads):
        thread.start()
        while served.engine.admission.in_flight <= count or served.engine.admission.coming:
            time.sleep(0.005)
    yield served
    for thread in threads:
        thread.join()


def test_a_full_service_answers_429_and_says_when_to_come_again(full: Served) -> None:
    reply = full.post(SPEECH)

    assert reply.status_code == 429
    assert int(reply.headers["Retry-After"]) >= 1
    error = reply.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("requests", "rate_limit_exceeded", None)
    assert full.registry.get_sample_value("mome_refused_requests_total", {"code": "rate_limit_exceeded"}) == 1


def test_it_is_refused_before_the_recording_is_sent(full: Served) -> None:
    sent = []

    def body() -> Iterator[bytes]:
        for _ in range(50):
            sent.append(full.engine.admission.in_flight)
            yield bytes(1000)

    headers = {"content-type": "multipart/form-data; boundary=x", "content-length": "50000"}
    reply = full.client.post("/audio/transcriptions", content=body(), headers=headers)

    assert reply.status_code == 429
    assert full.engine.admission.in_flight <= 2
