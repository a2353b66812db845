"""The router as a process of its own, before two small servers: who answers, and what is lost."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mome.errors import ConfigError
from serving.benchmark.planted import FAULTS, Backend, Routed, routed
from serving.benchmark.rollout import load
from serving.rollout.__main__ import _command as command
from tests.serving.planted import events

PATH = "/v1/audio/transcriptions"


def state(router: Routed) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{router.url}/rollout").json()
    return found


def eventually(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_candidate_is_gone_after_a_hundred_of_its_requests_and_none_is_lost(
    tmp_path: Path, fault: str
) -> None:
    median_s = 0.05 if fault == "is slow" else 0.0
    champion = Backend("one", median_s=median_s)
    candidate = Backend("two", fault=fault, median_s=median_s)
    with routed(tmp_path, "canary", champion, candidate, "--share", "0.5") as router:
        statuses, _ = load(router.url, 300, seed=3)
        assert statuses == [200] * 300
        found = state(router)
        assert found["decision"] == "withdrawn"
        assert found["sent"] <= 100
        asked = len(candidate.requests)
        load(router.url, 20, seed=4)
        assert len(candidate.requests) == asked
        assert "the candidate is withdrawn" in router.log.read_text()


def test_a_good_candidate_answers_its_share_and_is_proven(tmp_path: Path) -> None:
    champion, candidate = Backend("one"), Backend("two", different=0.05)
    options = ("--share", "0.5", "--proven-after", "260", "--disagreement", "0.5", "--slack-s", "5")
    with routed(tmp_path, "canary", champion, candidate, *options) as router:
        answered = [
            httpx.post(router.url + PATH, content=f"{n}").headers["X-MoME-Version"] for n in range(40)
        ]
        assert {"one", "two"} == set(answered)
        statuses, _ = load(router.url, 800, seed=5)
        assert statuses == [200] * 800
        eventually(lambda: state(router)["compared"] == state(router)["sent"])
        found = state(router)
        assert found["decision"] == "proven", found["why"]
        assert 0.4 < found["sent"] / 840 < 0.6
        assert found["versions"] == {"champion": "one", "candidate": "two"}
        # The planted share of different words lies in the interval that is shown.
        assert found["rates"]["disagreement"]["low"] < 0.05 < found["rates"]["disagreement"]["high"]
        assert len(champion.requests) == 840, "the champion hears everything, as without a router"


def test_in_shadow_callers_get_the_champions_answer_and_do_not_wait(tmp_path: Path) -> None:
    champion, candidate = Backend("one"), Backend("two", fault="is slow", median_s=0.4)
    with routed(tmp_path, "shadow", champion, candidate, "--share", "1") as router:
        for number in range(3):
            reply = httpx.post(router.url + PATH, content=f"{number}")
            assert reply.headers["X-MoME-Version"] == "one"
        assert state(router)["compared"] < 3
        eventually(lambda: state(router)["compared"] == 3)
        assert len(candidate.requests) == 3
        assert state(router)["rates"]["slow"]["rate"] == 1.0


def test_body_headers_and_query_reach_both_and_nothing_of_a_request_is_kept(tmp_path: Path) -> None:
    champion, candidate = Backend("one"), Backend("two")
    file = tmp_path / "state" / "trial.json"
    with routed(tmp_path, "canary", champion, candidate, "--share", "1", "--state", str(file)) as router:
        headers = {
            "Authorization": "Bearer key-of-a-caller",
            "X-Own": "5",
            "Connection": "close, X-Hop",
            "X-Hop": "1",
        }
        text = httpx.post(f"{router.url}{PATH}?a=b%20c", content=b"secret speech", headers=headers).json()[
            "text"
        ]
        for backend in (champion, candidate):
            ((path, given),) = backend.requests
            assert path == f"{PATH}?a=b%20c"
            assert given["Authorization"] == "Bearer key-of-a-caller"
            assert given["X-Own"] == "5"
            assert "X-Hop" not in given
        eventually(lambda: state(router)["compared"] == 1)
        shown = state(router), httpx.get(f"{router.url}/rollout.html").text
    kept = f"{shown} {router.log.read_text()} {file.read_text()}"
    for secret in ("key-of-a-caller", "secret speech", text):
        assert secret not in kept


def test_what_is_no_transcription_is_the_champions(tmp_path: Path) -> None:
    champion, candidate = Backend("one"), Backend("two")
    with routed(tmp_path, "canary", champion, candidate, "--share", "1") as router:
        for method, path in (
            ("GET", "/"),
            ("GET", "/v1/models?x=1"),
            ("OPTIONS", PATH),
            ("DELETE", "/v1//y"),
        ):
            reply = httpx.request(method, router.url + path)
            assert reply.json() == {"path": path, "method": method}
            assert reply.headers["X-MoME-Version"] == "one"
        assert not candidate.requests


STREAM = {"content": b"stream=true 1"}


def test_a_stream_passes_piece_by_piece_and_is_compared_at_its_end(tmp_path: Path) -> None:
    champion, candidate = Backend("one", estimated_wer=0.04), Backend("two", estimated_wer=0.02)
    with routed(tmp_path, "canary", champion, candidate, "--share", "1") as router:
        with httpx.stream("POST", router.url + PATH, **STREAM) as reply:
            assert reply.headers["X-MoME-Version"] == "two"
            pieces = list(reply.iter_raw())
        assert len(pieces) > 3
        assert events(b"".join(pieces).decode())[-1]["type"] == "transcript.text.done"
        eventually(lambda: state(router)["compared"] == 1)
        assert state(router)["estimated_wer"] == {"champion": 0.04, "candidate": 0.02}
        assert state(router)["rates"]["disagreement"] | {"low": 0, "high": 0} == {
            "rate": 0.0, "low": 0, "high": 0, "requests": 1, "bound": 0.3,
        }  # fmt: skip


def test_a_stream_that_breaks_before_its_first_byte_comes_from_the_champion(tmp_path: Path) -> None:
    with routed(tmp_path, "canary", Backend("one"), Backend("two", cuts_stream=0), "--share", "1") as router:
        reply = httpx.post(router.url + PATH, **STREAM)
        assert reply.headers["X-MoME-Version"] == "one"
        assert events(reply.text)[-1]["type"] == "transcript.text.done"
        eventually(lambda: state(router)["rates"]["failures"]["rate"] == 1.0)


def test_a_stream_that_breaks_later_is_seen_by_the_caller_and_held_against_the_candidate(
    tmp_path: Path,
) -> None:
    with routed(tmp_path, "canary", Backend("one"), Backend("two", cuts_stream=3), "--share", "1") as router:
        with pytest.raises(httpx.TransportError):
            httpx.post(router.url + PATH, **STREAM)
        eventually(lambda: state(router)["rates"]["failures"]["rate"] == 1.0)


def test_a_caller_who_leaves_a_stream_says_nothing_of_the_candidate(tmp_path: Path) -> None:
    with routed(tmp_path, "canary", Backend("one"), Backend("two"), "--share", "1") as router:
        with httpx.stream("POST", router.url + PATH, **STREAM) as reply:
            next(reply.iter_raw())
        httpx.post(router.url + PATH, content=b"2")
        eventually(lambda: state(router)["compared"] >= 1)
        time.sleep(0.3)
        assert state(router)["sent"] == 2
        assert state(router)["rates"]["failures"]["rate"] == 0.0


def test_a_websocket_is_the_champions_both_ways(tmp_path: Path) -> None:
    async def talk(url: str) -> list[object]:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{url}/v1/socket", protocols=("speech",)) as connected,
        ):
            await connected.send_str("hello")
            await connected.send_bytes(b"abc")
            return [connected.protocol, (await connected.receive()).data, (await connected.receive()).data]

    with routed(tmp_path, "canary", Backend("one"), Backend("two")) as router:
        assert asyncio.run(talk(router.url)) == ["speech", "one hello", b"cba"]


def test_too_large_a_body_and_a_champion_that_is_gone_are_said_as_the_service_says_it(tmp_path: Path) -> None:
    champion, candidate = Backend("one", fault="refuses"), Backend("two", fault="refuses")
    with routed(tmp_path, "canary", champion, candidate, "--max-body-mb", "0.01") as router:
        declared = httpx.post(router.url + PATH, content=b"x" * 20_000)
        counted = httpx.post(router.url + PATH, content=iter([b"x" * 9_000] * 3))
        gone = httpx.post(router.url + PATH, content=b"x")
    for reply, status, code in (
        (declared, 413, "file_too_large"),
        (counted, 413, "file_too_large"),
        (gone, 502, "no_reply"),
    ):
        assert reply.status_code == status
        assert reply.json()["error"]["code"] == code
        assert reply.json()["error"]["message"]


def test_requests_that_find_no_room_are_told_to_come_again(tmp_path: Path) -> None:
    champion = Backend("one", median_s=0.3)
    with routed(tmp_path, "shadow", champion, Backend("two"), "--max-buffered-mb", "0.2") as router:
        statuses, _ = load(router.url, 10, seed=1, clients=10)
        assert set(statuses) == {200, 503}
        assert statuses.count(200) >= 2
        assert load(router.url, 2, seed=2, clients=1)[0] == [200, 200], "the room was given back"


def test_a_pod_that_ends_sends_nobody_away(tmp_path: Path) -> None:
    champion, candidate = Backend("one", ending=1), Backend("two", ending=1)
    with routed(tmp_path, "canary", champion, candidate, "--share", "1") as router:
        assert httpx.post(router.url + PATH, content=b"1").headers["X-MoME-Version"] == "two"
        eventually(lambda: state(router)["compared"] == 1)
        assert state(router)["rates"]["failures"]["rate"] == 0.0
        # All of them end: that is said.
        champion.ending, candidate.ending = 2, 2
        assert httpx.post(router.url + PATH, content=b"2").status_code == 503


def test_a_router_that_is_told_to_end_answers_what_it_has(tmp_path: Path) -> None:
    champion = Backend("one", median_s=0.5)
    with routed(tmp_path, "canary", champion, Backend("two", median_s=0.5), "--share", "1") as router:

        async def ended() -> list[int]:
            async with aiohttp.ClientSession() as session:
                asked = [asyncio.create_task(session.post(router.url + PATH, data=f"{n}")) for n in range(5)]
                while len(champion.requests) < 5:
                    await asyncio.sleep(0.01)
                router.process.terminate()
                return [(await each).status for each in asked]

        assert asyncio.run(ended()) == [200] * 5
        assert router.process.wait(timeout=20) == 0


def test_the_page_and_the_metrics_say_what_is_decided_and_fetch_nothing(tmp_path: Path) -> None:
    # Two failures are certain enough; before the first of them all callers have asked.
    champion, candidate = Backend("one", median_s=0.2), Backend("two", fault="fails", median_s=0.2)
    with routed(tmp_path, "canary", champion, candidate, "--share", "1") as router:
        load(router.url, 10, seed=1)
        eventually(lambda: state(router)["decision"] == "withdrawn")
        page = httpx.get(f"{router.url}/rollout.html")
        metrics = httpx.get(f"{router.url}/metrics").text
    assert "withdrawn" in page.text
    assert "failed where the champion answered" in page.text
    assert not re.search(r"(?:src|href)=\"http", page.text)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
    }
    assert found["mome_rollout_decision", "withdrawn"] == 1
    assert found["mome_rollout_decision", "proven"] == 0
    assert found["mome_rollout_rate", "failures"] == 1
    assert found["mome_rollout_replies_total", "champion", "2xx"] == 10
    assert 3 <= found["mome_rollout_rescued_total",] <= len(candidate.requests)
    assert found["mome_rollout_buffered_bytes",] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--share", "0"], "--share: expected a number above 0 and at most 1, got 0.0"),
        (["--failures", "2"], "--failures: "),
        (["--timeout-s", "0"], "--timeout-s: expected a number above zero"),
        (["--champion", "somewhere"], "expected an address as http://host:port, got 'somewhere'"),
    ],
)
def test_a_wrong_option_is_named(
    options: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["canary", "--champion", "http://one", "--candidate", "http://two", *options]
    monkeypatch.setattr(sys, "argv", ["rollout", *given])
    with pytest.raises((ConfigError, SystemExit)) as caught:
        command()
    assert said in str(caught.value) + capsys.readouterr().err


def test_estimated_word_errors_are_shown_beside_the_champions(tmp_path: Path) -> None:
    champion, candidate = Backend("one", estimated_wer=0.04), Backend("two", estimated_wer=0.02)
    with routed(tmp_path, "shadow", champion, candidate, "--share", "1") as router:
        load(router.url, 5, seed=1)
        eventually(lambda: state(router)["estimated"] == 5)
        found = state(router)["estimated_wer"]
        page = httpx.get(f"{router.url}/rollout.html").text
        metrics = httpx.get(f"{router.url}/metrics").text
    assert found == pytest.approx({"champion": 0.04, "candidate": 0.02})
    assert "2.0%, the champion&#x27;s 4.0%, of 5 requests" in page
    assert 'mome_rollout_estimated_wer{backend="candidate"} 0.02' in metrics
