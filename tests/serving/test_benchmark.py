"""The load generator sends what the routes read, and counts what comes back."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from mome.errors import ServiceError
from mome.scales import Scale
from mome.speech.media import Clip
from serving.benchmark.live import joined, taken_back
from serving.benchmark.load import Answers, closed_loop, open_loop
from serving.benchmark.long import lasting, long_file, recorded
from serving.benchmark.recordings import HEADERS, Call, calls
from serving.benchmark.speech import Spoken, every_recording
from serving.benchmark.table import figure, table
from tests.serving.planted import Served

SCALES = [Scale(4, 2), Scale(16, 5)]


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

    with serving(answer) as address:
        yield address


@contextmanager
def serving(answer: Callable[[Request], Awaitable[JSONResponse]]) -> Iterator[str]:
    """Answer transcriptions in a thread of its own."""
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


def spoken(text: str, seconds: float = 20.0) -> Spoken:
    return Spoken(np.ones(round(16_000 * seconds), np.float32) / 2, 0.0, seconds, text=text)


def test_a_long_recording_repeats_what_there_is_and_knows_every_word(tmp_path: Path) -> None:
    chosen = lasting([spoken("one"), spoken("two")], 60.0)
    assert [each.text for each in chosen] == ["one", "two", "one"]
    samples = recorded(chosen)
    loud = np.flatnonzero(np.diff(np.abs(samples) > 0.4)) / 16_000
    pauses = loud[1::2][:2] - loud[::2][:2] - 20.0  # from each end to the next end, but for what is said
    assert len(loud) == 5
    assert ((pauses < 1.2) & (np.diff(loud[::2])[:2] > 20.2)).all()
    with pytest.raises(ServiceError, match="give --alignments"):
        lasting([Spoken(samples, 0.0, 1.0)], 60.0)
    with pytest.raises(ServiceError, match="there are no recordings"):
        lasting([], 60.0)

    soundfile.write(tmp_path / "bbaf2n.wav", np.zeros(16_000), 16_000)
    soundfile.write(tmp_path / "other.wav", np.zeros(16_000), 16_000)
    table = "clip\tstart_s\tend_s\tword\nbbaf2n\t0\t0.2\tsil\nbbaf2n\t0.2\t0.5\tbin\nbbaf2n\t0.5\t0.9\tblue\n"
    (tmp_path / "times.tsv").write_text(table)
    (read,) = every_recording(tmp_path, tmp_path / "times.tsv")
    assert (read.text, read.start_s, read.stop_s, read.word_s) == ("bin blue", 0.2, 0.9, 0.5)


class Reader:
    """Reads each utterance right, in a tenth of a second for each batch."""

    def transcribe(self, clips: Sequence[Clip], scale: Scale) -> list[str]:
        time.sleep(0.1)
        return ["bin blue at f" for _ in clips]


class Answering:
    """A server in this process that leaves out the last word of a long file, and takes memory for it."""

    def __init__(self) -> None:
        self.memory = 1_000_000_000

    def memory_bytes(self) -> int:
        return self.memory

    async def answer(self, request: Request) -> JSONResponse:
        async with request.form() as form:
            sound, rate = soundfile.read(io.BytesIO(await form["file"].read()))
        seconds = len(sound) / rate
        words = ["bin blue at f"] * round(seconds / 20.7)
        self.memory = 1_050_000_000 if seconds > 100 else 1_000_000_000
        await asyncio.sleep(0.2 if seconds > 100 else 0)
        text = " ".join(words)
        return JSONResponse({"text": text.rpartition(" ")[0] if seconds > 100 else text})


def test_a_long_file_is_compared_with_a_minute_with_its_utterances_and_with_batches() -> None:
    answering = Answering()
    with serving(answering.answer) as answering.url:
        rows = long_file(
            answering, Reader(), [spoken("bin blue at f")] * 10, scale=SCALES[0], repetitions=1, what="two"
        )

    memory, words, speed = rows
    assert memory.ratio.median == pytest.approx(50.0)
    assert (words.ratio.median, words.ours) == (pytest.approx(2.5), "2.50 %")  # one of forty
    assert words.note.startswith("0.00 % one by one, 0.00 % in batches; 10 utterances, 40 words")
    assert 0.2 < speed.ratio.median < 0.6
    assert not words.target.reached(words.ratio.median)
