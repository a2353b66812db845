"""Requests that wait are read together, and nobody notices but by the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import anyio
import httpx
import numpy as np
import pytest

from mome.errors import MediaError
from mome.reading import Reading
from mome.scales import Scale
from mome.speech.media import Clip
from serving.batcher import Job, alike, fitting, in_turn
from serving.engine import complete
from tests.serving.planted import Served, events, syllables, wav
from tests.serving.test_streaming import logged

SPEECH = wav(syllables())
SCALES = ("a4v2", "a16v5")


def at_once(served: Served, count: int, **fields: str) -> list[httpx.Response]:
    """Send requests at the same time, at both scales in turn."""

    def post(number: int) -> httpx.Response:
        return served.post(SPEECH, **{"compression_scale": SCALES[number % 2], **fields})

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(post, range(count)))


def test_requests_of_different_scales_are_read_together_and_keep_their_own(served: Served) -> None:
    served.recogniser.pause_s = 0.05

    replies = at_once(served, 8)

    assert [reply.json()["text"] for reply in replies] == [f"audio at {SCALES[n % 2]}" for n in range(8)]
    assert max(served.recogniser.batches) > 2
    assert served.recogniser.most_running == 1
    sizes = served.registry.get_sample_value("mome_batch_requests_sum")
    assert sizes == sum(served.recogniser.batches) == 8
    assert served.registry.get_sample_value("mome_batch_requests_count") == len(served.recogniser.batches)


@pytest.mark.parametrize("most", [1, 3])
def test_a_batch_holds_no_more_than_is_allowed(serve: Callable[..., Served], most: int) -> None:
    served = serve(max_batch=most)
    served.recogniser.pause_s = 0.05
    at_once(served, 8)
    assert max(served.recogniser.batches) == most
    assert sum(served.recogniser.batches) == 8


def test_streams_and_texts_share_a_batch_and_words_come_one_by_one(served: Served) -> None:
    served.recogniser.pause_s = 0.05

    with ThreadPoolExecutor(2) as threads:
        streams = threads.submit(at_once, served, 4, stream="true")
        texts = threads.submit(at_once, served, 4)

    for number, reply in enumerate(streams.result()):
        *deltas, done = events(reply.text)
        assert [event["delta"] for event in deltas] == ["audio", " at", f" {SCALES[number % 2]}"]
        assert done["text"] == f"audio at {SCALES[number % 2]}"
    assert {reply.status_code for reply in texts.result()} == {200}
    assert max(served.recogniser.batches) > 2
    assert served.registry.get_sample_value("mome_first_piece_seconds_count") == 4


def test_a_recording_that_the_model_refuses_fails_alone(served: Served) -> None:
    served.recogniser.pause_s = 0.05
    served.recogniser.failure = MediaError("the clip has no end")
    served.recogniser.fails_at = Scale(16, 5)

    replies = at_once(served, 8)

    assert max(served.recogniser.batches) > 2
    for number, reply in enumerate(replies):
        assert reply.status_code == (400 if number % 2 else 200), reply.text
    assert replies[0].json() == {"text": "audio at a4v2"}


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_batch_that_fails_is_read_one_by_one_and_says_nothing_twice(
    serve: Callable[..., Served], tmp_path: Path, after: int
) -> None:
    served = serve(request_log=tmp_path / "requests")
    served.recogniser.pause_s = 0.05
    served.recogniser.failure = RuntimeError("out of memory")
    served.recogniser.fails_at = Scale(16, 5)
    served.recogniser.failure_after = after

    replies = at_once(served, 6, stream="true")

    for number, reply in enumerate(replies):
        if number % 2 == 0:
            *deltas, done = events(reply.text)
            assert "".join(event["delta"] for event in deltas) == done["text"] == "audio at a4v2"
        elif after:
            assert events(reply.text)[-1]["error"]["code"] == "transcription_failed"
        else:
            assert reply.status_code == 500
    assert sorted(record.status for record in logged(tmp_path / "requests")) == [200] * 3 + [500] * 3


def test_a_caller_who_leaves_the_queue_is_never_read(served: Served) -> None:
    served.recogniser.pause_s = 0.1

    async def leave() -> None:
        first = asyncio.create_task(complete(served.engine.answer({"file": SPEECH}, None, live=False)))
        while not served.recogniser.running:
            await asyncio.sleep(0.01)
        second = asyncio.create_task(complete(served.engine.answer({"file": SPEECH}, None, live=False)))
        while served.engine.admission.waiting != 1 or served.engine.admission.coming:
            await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        assert first.result().text == "audio at a16v5"
        assert second.cancelled()
        await asyncio.sleep(0.1)

    anyio.run(leave)
    assert served.recogniser.batches == [1]
    assert (served.engine.admission.in_flight, served.engine.admission.waiting_s) == (0, 0.0)


def test_a_text_that_was_cut_says_so_in_every_form(served: Served) -> None:
    served.recogniser.cut = True

    plain = served.post(SPEECH)
    verbose = served.post(SPEECH, response_format="verbose_json")
    streamed = served.post(SPEECH, stream="true")

    assert plain.headers["X-MoME-Cut"] == verbose.headers["X-MoME-Cut"] == "true"
    assert verbose.json()["x_mome"]["cut"] is True
    assert events(streamed.text)[-1]["x_mome"] == {"cut": True}
    served.recogniser.cut = False
    assert "X-MoME-Cut" not in served.post(SPEECH).headers
    assert "x_mome" not in events(served.post(SPEECH, stream="true").text)[-1]


def jobs(*seconds: float) -> list[Job]:
    async def make() -> list[Job]:
        clips = [Clip(np.zeros(round(16_000 * each), np.float32), None) for each in seconds]
        return [Job(Reading(clip, Scale(4, 2)), live=False, began=lambda: None) for clip in clips]

    return asyncio.run(make())


def test_a_batch_is_as_wide_as_its_longest_recording_allows() -> None:
    waiting = jobs(2, 2, 20, 2, 2, 2)
    assert fitting(waiting, 16, 12) == [waiting[i] for i in (0, 1, 3, 4, 5)]
    assert fitting(waiting, 3, 12) == [waiting[i] for i in (0, 1, 3)]
    # What did not fit comes first another time, and then it is taken whatever its length.
    assert fitting(waiting[2:], 16, 12) == waiting[2:3]
    assert fitting([], 16, 12) == []


def test_whoever_waits_longest_is_always_read_next() -> None:
    rng = np.random.default_rng(5)
    waiting = jobs(*rng.uniform(0.3, 30, size=60))
    first = [waiting[0]]
    while waiting:
        batch = fitting(waiting, 8, 40)
        assert batch[0] is waiting[0]
        assert len(batch) == 1 or len(batch) * max(job.duration_s for job in batch) <= 40
        waiting = [job for job in waiting if job not in batch]
        first += waiting[:1]
    assert all(earlier is not later for earlier, later in pairwise(first))


def test_pieces_of_one_recording_take_turns_with_everybody_elses() -> None:
    async def turns() -> list[str]:
        names = ["long 1", "long 2", "long 3", "short", "other 1", "other 2"]
        reading = Reading(Clip(np.zeros(16_000, np.float32), None), Scale(4, 2))
        jobs = {Job(reading, live=False, began=lambda: None, of=name.split()[0]): name for name in names}
        return [jobs[job] for job in in_turn(list(jobs))]

    assert anyio.run(turns) == ["long 1", "short", "other 1", "long 2", "other 2", "long 3"]


def test_pieces_as_long_as_the_first_are_read_with_it_and_who_has_no_others_keeps_his_place() -> None:
    async def lined_up() -> list[str]:
        names = ["long 3.0", "short 9.0", "long 8.0", "long 1.0"]
        names += ["other 2.5", "long 3.5", "long 2.8", "other 7.0"]
        jobs = {}
        for name in names:
            whose, seconds = name.split()
            reading = Reading(Clip(np.zeros(round(16_000 * float(seconds)), np.float32), None), Scale(4, 2))
            jobs[Job(reading, live=False, began=lambda: None, of=whose)] = name
        return [jobs[job] for job in alike(list(jobs))]

    assert anyio.run(lined_up) == [
        "long 3.0",
        "short 9.0",
        "long 2.8",
        "other 2.5",
        "long 3.5",
        "long 1.0",
        "other 7.0",
        "long 8.0",
    ]
    assert alike([]) == []
