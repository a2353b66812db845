"""The load generator sends what the routes read, and counts what comes back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from mome.scales import Scale
from serving.benchmark.live import Spoken, joined, taken_back
from serving.benchmark.load import Answers, closed_loop, open_loop
from serving.benchmark.recordings import BOUNDARY, Call, calls
from serving.benchmark.table import figure, table
from tests.serving.planted import Served

SCALES = [Scale(4, 2), Scale(16, 5)]
HEADERS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def test_its_requests_are_what_the_routes_read(served: Served) -> None:
    made = calls(5, SCALES, with_lips=True)

    replies = [
        served.client.post("/audio/transcriptions", content=call.body, headers=HEADERS) for call in made
    ]

    texts = ["av at a4v2", "audio at a16v5", "audio at a4v2", "audio at a16v5", "av at a4v2"]
    assert [reply.json()["text"] for reply in replies] == texts
    read = [clip.duration_s for _, clip in served.recogniser.calls]
    assert read == pytest.approx([call.seconds for call in made])


@pytest.fixture
def url() -> Iterator[str]:
    """A server that refuses every third request, and counts how many it has at a time."""
    state = {"number": 0}
    lock = threading.Lock()

    async def answer(request: Request) -> JSONResponse:
        body = await request.body()
        with lock:
            state["number"] += 1
            refused = state["number"] % 3 == 0
        if refused:
            return JSONResponse({"error": {}}, status_code=429)
        return JSONResponse({"text": body.decode()})

    app = Starlette(routes=[Route("/v1/audio/transcriptions", answer, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


SENT = [Call(b"one", 1.0), Call(b"two", 2.5)]


def test_callers_who_wait_get_as_many_answers_as_they_sent(url: str) -> None:
    answers = closed_loop(url, SENT, clients=4, requests=60)

    assert answers.statuses == {200: 40, 429: 20}
    assert answers.texts == {0: "one", 1: "two"}
    assert 40 <= answers.seconds <= 100
    assert answers.per_s == pytest.approx(40 / answers.elapsed_s)


def test_callers_who_do_not_wait_come_at_their_rate(url: str) -> None:
    started = time.perf_counter()
    answers = open_loop(url, SENT, per_s=100, seconds=0.5)

    assert sum(answers.statuses.values()) == 51
    assert 0.5 <= answers.elapsed_s <= time.perf_counter() - started
    assert answers.statuses[429] == 17


def test_a_request_without_an_answer_is_lost_and_counted() -> None:
    answers = closed_loop("http://127.0.0.1:9", SENT, clients=2, requests=4)

    assert answers.statuses == {"lost": 4}
    assert sum(answers.errors.values()) == 4
    assert answers.per_s == 0


def test_a_quantile_is_of_one_status() -> None:
    answers = Answers(latencies_s={200: [0.1, 0.2, 0.3], 429: [0.001]})
    assert (answers.quantile_ms(0.5), answers.quantile_ms(0.99, 429)) == (200, 1)


def test_a_figure_without_a_comparison_is_judged_by_its_target() -> None:
    from mome.benchmark.rows import Target

    *_, reached = table([figure("refusals", "40 ms", 40, Target(high=50))])
    *_, missed = table([figure("refusals", "60 ms", 60, Target(high=50))])
    assert "| reached |" in reached
    assert "| missed |" in missed
    assert json.dumps(reached).count("|") == 9


@pytest.mark.parametrize(
    ("shown", "said", "count"),
    [
        ("", "bin blue", 0),
        ("bin blue", "bin blue at f", 0),
        ("bin red", "bin blue at f", 1),
        ("bin blue at", "bin at f", 1),
        ("bin at", "bin blue at", 1),
        ("bin blue", "", 2),
    ],
)
def test_words_that_a_text_does_not_begin_with_are_taken_back(shown: str, said: str, count: int) -> None:
    assert taken_back(shown, said) == count


def test_joined_recordings_keep_their_moments() -> None:
    samples = np.ones(8_000, np.float32)
    stream = joined([Spoken(samples, 0.1, 0.4, 0.2), Spoken(samples, 0.0, 0.5)])

    first, second = stream.spoken
    assert (first.start_s, first.stop_s, first.word_s) == pytest.approx((1.3, 1.6, 1.4))
    assert (second.start_s, second.stop_s, second.word_s) == (pytest.approx(2.9), pytest.approx(3.4), None)
    loud = np.flatnonzero(np.abs(stream.samples) > 0.5) / 16_000
    assert (loud[0], loud[-1]) == (pytest.approx(1.2), pytest.approx(3.4, abs=1e-3))
