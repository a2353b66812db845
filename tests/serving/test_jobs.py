"""Jobs: what outlasts a connection is kept, read beside requests, and found by whoever sent it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving import job_store
from serving.errors import ApiError
from serving.job_store import JobStore
from serving.keys import Key
from tests.serving.planted import Served, syllables, wav
from tests.serving.test_long import THREE_MINUTES

PATH = "/audio/transcriptions/jobs"


@pytest.fixture
def jobs(serve: Callable[..., Served], tmp_path: Path) -> Served:
    return serve(jobs=tmp_path / "jobs")


def submit(served: Served, content: bytes = THREE_MINUTES, key: str = "", **fields: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return served.client.post(PATH, files={"file": ("a.wav", content)}, data=fields, headers=headers)


def ended(served: Served, job_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        job: dict[str, Any] = served.client.get(f"{PATH}/{job_id}").json()
        if job["ended_at"] is not None:
            return job
        time.sleep(0.05)
    pytest.fail(f"the job did not end: {job}")


def test_a_job_is_what_the_request_would_have_been(jobs: Served) -> None:
    reply = submit(jobs, compression_scale="a4v2", response_format="srt")
    assert reply.status_code == 202
    job = reply.json()
    assert (job["status"], job["object"]) == ("queued", "transcription.job")
    assert reply.headers["Location"] == f"{PATH}/{job['id']}"

    done = ended(jobs, job["id"])
    assert (done["status"], done["error"], done["progress"]) == (
        "completed",
        None,
        {"seconds": 180.0, "of": 180.0},
    )
    assert done["expires_at"] - done["ended_at"] == 24 * 3600
    for response_format in ("json", "text", "srt", "vtt"):
        direct = jobs.post(THREE_MINUTES, compression_scale="a4v2", response_format=response_format)
        result = jobs.client.get(f"{PATH}/{job['id']}/result?response_format={response_format}")
        assert result.content == direct.content
        assert result.headers["content-type"] == direct.headers["content-type"]
    assert jobs.client.get(f"{PATH}/{job['id']}/result").text.startswith("1\n00:00:00,000 --> ")


def test_progress_is_said_and_a_result_is_there_when_it_is(jobs: Served) -> None:
    jobs.recogniser.pause_s = 0.3
    first, second = submit(jobs).json()["id"], submit(jobs).json()["id"]
    while jobs.client.get(f"{PATH}/{first}").json()["status"] != "in_progress":
        time.sleep(0.02)

    early = jobs.client.get(f"{PATH}/{second}/result")
    assert (early.status_code, early.json()["error"]["code"]) == (409, "job_not_completed")
    assert jobs.client.get(f"{PATH}/{second}").json()["position"] == 1
    jobs.recogniser.pause_s = 0.0
    assert ended(jobs, second)["status"] == "completed"


def test_a_job_that_is_cancelled_ends_and_is_removed_when_asked_again(jobs: Served, tmp_path: Path) -> None:
    jobs.recogniser.pause_s = 0.5
    job_id = submit(jobs).json()["id"]
    while jobs.client.get(f"{PATH}/{job_id}").json()["status"] != "in_progress":
        time.sleep(0.02)

    assert jobs.client.delete(f"{PATH}/{job_id}").json()["status"] == "cancelled"
    assert ended(jobs, job_id)["status"] == "cancelled"
    assert not (tmp_path / "jobs" / job_id / "file").exists()
    jobs.client.delete(f"{PATH}/{job_id}")
    gone = jobs.client.get(f"{PATH}/{job_id}")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "job_not_found")
    assert not (tmp_path / "jobs" / job_id).exists()


def test_what_cannot_be_read_fails_with_the_sentence_of_a_request(jobs: Served, tmp_path: Path) -> None:
    content = bytes(2 << 20)
    done = ended(jobs, submit(jobs, content).json()["id"])

    assert done["status"] == "failed"
    assert done["error"] == jobs.post(content).json()["error"]
    assert str(tmp_path) not in str(done)


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"stream": "true"}, "stream"), ({"compression_scale": "a3v3"}, "compression_scale")],
)
def test_what_no_request_could_ask_for_is_refused_at_once(
    jobs: Served, tmp_path: Path, fields: dict[str, str], param: str
) -> None:
    reply = submit(jobs, **fields)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert not (tmp_path / "jobs").exists()


def test_a_service_without_a_folder_has_no_jobs(served: Served) -> None:
    reply = submit(served)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "no_jobs")
    assert "MOME_JOBS" in reply.json()["error"]["message"]


def test_only_the_key_that_sent_a_job_finds_it(serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve(jobs=tmp_path / "jobs", api_keys=(Key("one"), Key("two")))
    job_id = submit(served, wav(syllables()), key="one").json()["id"]

    def status(key: str) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        return served.client.get(f"{PATH}/{job_id}", headers=headers).status_code

    assert (status("one"), status("two"), status("three")) == (200, 404, 401)
    assert "one" not in (tmp_path / "jobs" / job_id / "job.json").read_text().split('"')


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "jobs", max_jobs=2, max_bytes=10, kept_h=1.0)


def test_there_is_room_for_so_many_and_so_much(store: JobStore) -> None:
    store.submit({"file": b"12345"}, {}, "")
    with pytest.raises(ApiError, match="1 jobs") as caught:
        store.submit({"file": b"123456"}, {}, "")
    assert caught.value.status == 429
    job = store.submit({"file": b"1"}, {}, "")
    with pytest.raises(ApiError, match="2 jobs"):
        store.submit({"file": b"1"}, {}, "")
    store.end(job, "completed")
    store.submit({"file": b"1"}, {}, "")


def test_one_of_several_workers_takes_a_job_and_another_one_when_it_is_gone(store: JobStore) -> None:
    job = store.submit({"file": b"1"}, {}, "")
    taken = store.take("one")
    assert taken is not None
    assert (taken.id, taken.status) == (job.id, "in_progress")
    assert store.take("two") is None
    assert store.keep_claim(taken, "one")

    for attempt in (2, 3):
        long_ago = time.time() - job_store._LOST_S - 1
        os.utime(store.path(job, "claim"), (long_ago, long_ago))
        again = store.take("two")
        assert again is not None
        assert again.attempts == attempt
        assert not store.keep_claim(taken, "one"), "it is another worker's by now"
    os.utime(store.path(job, "claim"), (long_ago, long_ago))
    assert store.take("three") is None
    given_up = store.find(job.id, "")
    assert given_up.status == "failed"
    assert given_up.error is not None
    assert "ended each time" in str(given_up.error["message"])


def test_what_is_over_for_long_enough_is_removed(store: JobStore, tmp_path: Path) -> None:
    kept = JobStore(tmp_path / "jobs", max_jobs=2, max_bytes=10, kept_h=1e-9)
    job = store.submit({"file": b"1"}, {}, "")
    store.end(job, "completed")
    store.tidy()
    assert store.find(job.id, "").status == "completed"
    kept.tidy()
    assert not (tmp_path / "jobs" / job.id).exists()


@pytest.mark.parametrize("job_id", ["..", "job_" + "x" * 32, "job_../../../../../../../etc/passwd", ""])
def test_an_id_that_is_none_is_not_found(store: JobStore, job_id: str) -> None:
    with pytest.raises(ApiError, match="there is no job"):
        store.find(job_id, "")
