"""Recordings that harm their decoder: a 400 with a sentence, and nothing for anybody else."""

from __future__ import annotations

import logging
import os
import random
import signal
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing
from pathlib import Path

import anyio
import httpx
import numpy as np
import psutil
import pytest

from mome.records import Modality
from mome.scales import Scale
from mome.speech.audio import encode_flac
from mome.speech.media import Clip
from mome.speech.video import encode_mouth
from serving.decode import Decoded, Upload
from serving.decoders import Decoders
from serving.errors import ApiError
from tests.processes import started
from tests.serving.planted import Served, syllables, wav

SPEECH = wav(syllables())
MOUTH = encode_mouth(np.full((25, 96, 96), 90, np.uint8))


def upload(content: bytes, known: tuple[Modality, ...] = ("audio", "video", "av")) -> Upload:
    return Upload({"file": content}, (Scale(4, 2),), known, 30.0, 30.0, 14_400.0)


async def first(decoders: Decoders, wanted: Upload, request_id: str = "4711") -> Decoded:
    async with aclosing(decoders.decode(wanted, request_id)) as parts:
        return await anext(parts)


def decode(decoders: Decoders, content: bytes) -> Clip:
    decoded = anyio.run(first, decoders, upload(content))
    assert decoded.ended
    (piece,) = decoded.pieces
    return piece.clip


def tagged(artist: bytes) -> bytes:
    """Return a WAV file of 16 bits with an artist, in the encoding that the recorder had."""
    samples = (syllables() * 32767).astype("<i2").tobytes()
    form = struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16)
    tag = b"INFOIART" + struct.pack("<I", len(artist)) + artist
    chunks = b"".join(
        name + struct.pack("<I", len(content)) + content
        for name, content in ((b"fmt ", form), (b"LIST", tag), (b"data", samples))
    )
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def test_what_was_decoded_here_is_what_was_sent(decoders: Decoders) -> None:
    (piece,) = anyio.run(first, decoders, upload(SPEECH)).pieces

    assert piece.clip.modality == "audio"
    assert piece.clip.samples is not None
    np.testing.assert_array_equal(piece.clip.samples, syllables())
    assert piece.features.speech_share > 0


def mutations(count: int) -> Iterator[bytes]:
    """Yield recordings with up to 200 bytes changed, half of these among the first: the same every time."""
    flac = encode_flac(syllables())
    sources = [SPEECH, MOUTH, flac, tagged(b"Anna")]
    for number in range(count):
        rng = random.Random(number)
        content = bytearray(sources[number % len(sources)])
        for _ in range(rng.choice([1, 4, 20, 200])):
            end = len(content) if rng.random() < 0.5 else min(200, len(content))
            content[rng.randrange(end)] = rng.randrange(256)
        yield bytes(content)


def test_200_damaged_recordings_are_answered_and_so_is_who_comes_next(served: Served) -> None:
    def post(content: bytes) -> tuple[int, float]:
        started = time.perf_counter()
        reply = served.post(content, compression_scale="a4v2")
        if reply.status_code == 400:
            error = reply.json()["error"]
            assert error["message"]
            assert error["param"] == "file"
        return reply.status_code, time.perf_counter() - started

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(post, mutations(200)))

    counts = Counter(status for status, _ in answers)
    assert set(counts) == {200, 400}, counts
    assert max(seconds for _, seconds in answers) < 5
    assert served.post(SPEECH).json() == {"text": "audio at a16v5"}


def test_a_tag_in_another_encoding_is_no_failure_of_the_service(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    reply = served.post(tagged("Müller".encode("latin-1")), compression_scale="a4v2")

    assert reply.status_code in (200, 400)
    assert "ller" not in caplog.text


def test_whatever_a_decoder_raises_is_a_400_and_the_log_names_the_request(
    decoders: Decoders, caplog: pytest.LogCaptureFixture
) -> None:
    broken = upload(SPEECH, None)  # type: ignore[arg-type]  # fails when decoded
    with pytest.raises(ApiError, match="cannot be decoded") as caught:
        anyio.run(first, decoders, broken)

    assert (caught.value.status, caught.value.code) == (400, "undecodable_media")
    (record,) = caplog.records
    assert record.getMessage().startswith("request 4711: a decoder raised TypeError at ")


@pytest.fixture
def own() -> Iterator[Decoders]:
    """One process with narrow limits."""
    made = Decoders(1, memory_bytes=300_000_000, timeout_s=1.0)
    decode(made, SPEECH)
    yield made
    made.close()


def process(decoders: Decoders) -> psutil.Process:
    """Return the one decoding process."""
    (idle,) = decoders._idle
    return psutil.Process(idle._process.pid)


def while_decoding(decoders: Decoders, do: Callable[[psutil.Process], None]) -> ApiError:
    """Do something to the process while it decodes what it will not come to an end with."""
    one = process(decoders)
    one.suspend()

    async def run() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, later, do, one)
            await first(decoders, upload(SPEECH))

    with pytest.RaisesGroup(ApiError) as caught:
        anyio.run(run)
    (error,) = caught.value.exceptions
    return error


def later(do: Callable[[psutil.Process], None], one: psutil.Process) -> None:
    time.sleep(0.1)
    do(one)


def test_a_decoder_that_crashes_is_replaced(own: Decoders, caplog: pytest.LogCaptureFixture) -> None:
    before = process(own)

    def crash(one: psutil.Process) -> None:
        os.kill(one.pid, signal.SIGSEGV)
        one.resume()

    error = while_decoding(own, crash)

    assert (error.status, error.code) == (400, "undecodable_media")
    assert "request 4711: a decoder ended with status -11" in caplog.text
    assert decode(own, SPEECH).modality == "audio"
    assert process(own) != before


def test_who_loses_a_decoder_to_somebody_else_is_asked_to_come_again(own: Decoders) -> None:
    error = while_decoding(own, lambda one: os.kill(one.pid, signal.SIGKILL))

    assert (error.status, error.code, error.type) == (503, "worker_lost", "server_error")
    assert error.headers == {"Retry-After": "1"}
    assert decode(own, SPEECH).modality == "audio"


def test_who_comes_before_a_decoder_is_ready_is_asked_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("serving.decoders._START_S", 0.3)
    with closing(Decoders(1, memory_bytes=500_000_000, timeout_s=10)) as decoders:
        process(decoders).suspend()  # as a machine does that has much else to do
        with pytest.raises(ApiError) as late:
            decode(decoders, SPEECH)
        process(decoders).resume()
        monkeypatch.undo()
        assert decode(decoders, SPEECH).modality == "audio"
    assert (late.value.status, late.value.code, late.value.type) == (503, "decoder_late", "server_error")
    assert late.value.headers == {"Retry-After": "1"}


def test_decoders_that_are_killed_under_load_fail_their_own_requests_and_no_others(served: Served) -> None:
    ended = threading.Event()

    def call() -> list[httpx.Response]:
        replies = []
        while not ended.is_set():
            replies.append(served.post(SPEECH))
        return replies

    with ThreadPoolExecutor(6) as threads:
        try:
            callers = [threads.submit(call) for _ in range(6)]
            time.sleep(0.3)
            killed: list[psutil.Process] = []  # the first may be seen for a moment yet
            for _ in range(2):
                one = next(each for each in started("decoding_process") if each not in killed)
                one.suspend()  # so that a request is in it for certain
                time.sleep(0.3)
                one.kill()
                killed.append(one)
            time.sleep(0.3)
        finally:
            ended.set()  # after one more answer to each
        replies = [reply for caller in callers for reply in caller.result()]

    lost = [reply for reply in replies if reply.status_code != 200]
    assert len(replies) > len(lost)
    assert [reply.status_code for reply in lost] == [503, 503]
    assert {reply.headers["Retry-After"] for reply in lost} == {"1"}
    assert {reply.json()["error"]["code"] for reply in lost} == {"worker_lost"}
    assert served.post(SPEECH).json() == {"text": "audio at a16v5"}


def test_a_decoder_that_hangs_is_ended_and_replaced(own: Decoders) -> None:
    before = process(own)
    started = time.perf_counter()

    error = while_decoding(own, lambda one: None)

    assert (error.status, error.code) == (400, "decode_timeout")
    assert "longer than 1 s" in str(error)
    assert time.perf_counter() - started < 3
    assert not before.is_running()
    assert decode(own, SPEECH).modality == "audio"


def test_a_long_recording_keeps_its_process_to_its_end_and_gives_it_back(own: Decoders) -> None:
    long = upload(wav(np.tile(syllables(), 100)))
    before = process(own)

    async def beside() -> list[float]:
        parts = []
        async with aclosing(own.decode(long, "4711")) as decoded:
            async for part in decoded:
                parts.append(part.until_s)
                if len(parts) == 1:
                    assert not own._idle, "none is started that nobody waits for"
                    assert (await first(own, upload(SPEECH))).ended
        return parts

    assert len(anyio.run(beside)) > 1
    other = process(own)
    assert other != before, "it was started for the short one"
    assert not before.is_running() or before.status() == psutil.STATUS_ZOMBIE

    async def alone() -> list[float]:
        async with aclosing(own.decode(long, "4711")) as decoded:
            return [part.until_s async for part in decoded]

    assert anyio.run(alone)[-1] == pytest.approx(100.0)
    assert process(own) == other, "nothing had to be started"


def test_a_decoder_that_was_killed_while_it_was_idle_fails_nobody(own: Decoders) -> None:
    process(own).kill()
    time.sleep(0.2)

    assert decode(own, SPEECH).modality == "audio"


def test_a_recording_that_asks_for_all_of_memory_is_refused() -> None:
    # A few kilobytes of black pictures, 490 MB when decoded.
    content = encode_mouth(np.broadcast_to(np.zeros((1280, 1280), np.uint8), (300, 1280, 1280)))
    assert len(content) < 1_000_000
    with closing(Decoders(1, memory_bytes=300_000_000, timeout_s=60.0)) as patient:
        decode(patient, SPEECH)
        with pytest.raises(ApiError) as caught:
            decode(patient, content)

        assert (caught.value.status, caught.value.code) == (400, "decode_memory")
        assert "more than 300 MB" in str(caught.value)
        assert decode(patient, SPEECH).modality == "audio"


def test_a_file_that_claims_ten_hours_and_holds_one_second_costs_one_second(decoders: Decoders) -> None:
    content = bytearray(tagged(b"Anna"))
    at = content.index(b"data") + 4
    content[at : at + 4] = struct.pack("<I", 10 * 3600 * 32_000)
    started = time.perf_counter()

    assert decode(decoders, bytes(content)).duration_s == 1.0
    assert time.perf_counter() - started < 5


def test_a_caller_who_leaves_frees_the_process(own: Decoders) -> None:
    process(own).suspend()

    async def leave() -> None:
        with anyio.move_on_after(0.1):
            await first(own, upload(SPEECH))

    anyio.run(leave)
    assert decode(own, SPEECH).modality == "audio"


def test_a_decoder_that_starts_outlives_the_end_of_the_service_as_one_that_is_ready_does() -> None:
    with closing(Decoders(1, memory_bytes=300_000_000, timeout_s=20.0)) as made:
        process(made).terminate()
        assert decode(made, SPEECH).modality == "audio"
        process(made).terminate()
        assert decode(made, SPEECH).modality == "audio"


def test_closed_decoders_leave_no_process(tmp_path: Path) -> None:
    made = Decoders(2, memory_bytes=300_000_000, timeout_s=1.0)
    pids = [idle._process.pid for idle in made._idle]

    made.close()

    assert not any(psutil.pid_exists(pid) for pid in pids)
