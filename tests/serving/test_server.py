"""The packaged Bento as a real ``bentoml serve`` process; only the model in it is planted."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import openai
import psutil
import pytest
import yaml
from websockets.exceptions import ConnectionClosed

from mome.bundle import read_bundle
from mome.config import PackageParams
from mome.errors import BundleError
from mome.records import RequestRecord
from serving import package
from serving.benchmark.server import Server as Running
from tests.serving.planted import events, plant_inference, publish, syllables, wav, write_parts

PARAMS = PackageParams(name="mome", default_scale="a16v5")
SPEECH = wav(syllables())
STARTUP_S = 90.0


@dataclass
class Server:
    """A running service."""

    client: httpx.Client
    bento: Path
    scale_file: Path
    requests: Path
    process: subprocess.Popen[bytes]
    log: Path

    def post(self, content: bytes = SPEECH, **fields: str) -> httpx.Response:
        return self.client.post("/v1/audio/transcriptions", files={"file": ("a.wav", content)}, data=fields)


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    package.run(PARAMS, output=folder / "output", **write_parts(folder / "parts"))
    return folder / "output"


@pytest.fixture(scope="module")
def bento(packaged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Bento, not where it was built, with a planted model."""
    bento = tmp_path_factory.mktemp("bento") / "moved"
    shutil.copytree(packaged / "bento", bento)
    plant_inference(bento / "src")
    return bento


@pytest.fixture(scope="module")
def server(bento: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with served(bento, tmp_path_factory.mktemp("server"), MOME_MAX_UPLOAD_MB="1") as server:
        yield server


@contextmanager
def served(bento: Path, folder: Path, **settings: str) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "BENTOML_HOME": str(folder / "home"),
        "BENTOML_DO_NOT_TRACK": "True",
        "MOME_SCALE_FILE": str(folder / "scale.json"),
        "MOME_REQUEST_LOG": str(folder / "requests"),
        **settings,
    }
    command = [sys.executable, "-m", "bentoml", "serve", str(bento)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            wait_until_ready(client, process, folder / "log")
            yield Server(client, bento, folder / "scale.json", folder / "requests", process, folder / "log")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def stand_ins(server: Server) -> list[psutil.Process]:
    """Return the processes that answer for workers that are killed."""
    found = []
    for each in psutil.Process(server.process.pid).children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            if any("stand_in_process" in part for part in each.cmdline()):
                found.append(each)
    return found


def wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/readyz", timeout=1.0).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    pytest.fail(f"the service did not start: {log.read_text()[-3000:]}")


def test_a_bento_holds_the_service_the_library_and_the_bundle_only(packaged: Path) -> None:
    source = packaged / "bento" / "src"

    assert {path.name for path in source.iterdir()} == {
        "bentofile.yaml",
        "bundle",
        "mome",
        "requirements.txt",
        "serving",
    }
    assert read_bundle(source / "bundle").version == read_bundle(packaged / "bundle").version


def test_a_bento_is_named_and_numbered_after_its_bundle(packaged: Path) -> None:
    bento = yaml.safe_load((packaged / "bento" / "bento.yaml").read_text())

    assert (bento["name"], bento["version"]) == ("mome", read_bundle(packaged / "bundle").version)


def test_a_container_gets_pinned_packages_and_none_of_the_other_tools(packaged: Path) -> None:
    lines = (packaged / "bento" / "env" / "python" / "requirements.txt").read_text().split()

    names = {line.partition("==")[0] for line in lines}
    assert {"bentoml", "torch", "transformers", "uvloop", "starlette", "wsproto"} <= names
    assert not names & {"kfp", "dvc", "evidently", "great-expectations", "pytest"}
    assert all("==" in line for line in lines)


def test_a_rejected_model_leaves_the_older_package_in_place(packaged: Path, tmp_path: Path) -> None:
    before = (packaged / "bundle" / "bundle.json").read_bytes()

    with pytest.raises(BundleError, match="the gate rejected this model"):
        package.run(PARAMS, output=packaged, **write_parts(tmp_path, passed=False))

    assert (packaged / "bundle" / "bundle.json").read_bytes() == before


def test_a_switch_reaches_the_next_request_and_the_log(server: Server) -> None:
    server.scale_file.unlink(missing_ok=True)
    scales = []
    for scale in (None, "a4v2", "a16v5"):
        if scale is not None:
            publish(server.scale_file, scale)
        reply = server.post(response_format="verbose_json")
        scales.append(reply.headers["X-MoME-Scale"])
        assert reply.json()["x_mome"]["scale"] == scales[-1]

    assert scales == ["a16v5", "a4v2", "a16v5"]
    (file,) = server.requests.glob("*.jsonl")
    logged = [RequestRecord.model_validate_json(line) for line in file.read_text().splitlines()]
    assert [record.scale for record in logged[-3:]] == scales


def test_requests_at_the_same_time_keep_their_own_scales(server: Server) -> None:
    wanted = ["a4v2", "a16v5"] * 8

    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda scale: server.post(compression_scale=scale), wanted))

    assert [reply.json()["text"] for reply in replies] == [f"audio at {scale}" for scale in wanted]


def test_a_text_is_sent_while_it_is_decoded(server: Server) -> None:
    arrivals, body = [], ""
    files = {"file": ("a.wav", SPEECH)}
    form = {"stream": "true", "compression_scale": "a4v2"}
    with server.client.stream("POST", "/v1/audio/transcriptions", files=files, data=form) as reply:
        for part in reply.iter_text():
            arrivals.append(time.monotonic())
            body += part

    assert reply.headers["content-type"].startswith("text/event-stream")
    *deltas, done = events(body)
    assert [event["delta"] for event in deltas] == ["audio", " at", " a4v2"]
    assert done == {"type": "transcript.text.done", "text": "audio at a4v2"}
    assert arrivals[-1] - arrivals[0] > 0.6, "it came at once"


def test_a_caller_who_leaves_ends_the_decoding(server: Server) -> None:
    form = {"stream": "true", "compression_scale": "a4v2"}
    files = {"file": ("a.wav", SPEECH)}
    with server.client.stream("POST", "/v1/audio/transcriptions", files=files, data=form) as reply:
        next(reply.iter_text())

    assert server.post(compression_scale="a4v2").json() == {"text": "audio at a4v2"}
    (file,) = server.requests.glob("*.jsonl")
    logged = [RequestRecord.model_validate_json(line) for line in file.read_text().splitlines()]
    statuses = {record.request_id: record.status for record in logged}
    assert statuses[reply.headers["X-Request-ID"]] == 499


@pytest.mark.parametrize("size", [2_000_000, 40_000_000])
def test_a_body_that_is_too_large_is_refused_and_the_caller_learns_why(server: Server, size: int) -> None:
    reply = server.post(bytes(size))

    assert reply.status_code == 413
    assert reply.json()["error"]["code"] == "file_too_large"


def test_an_unknown_path_is_refused_in_openai_shape(server: Server) -> None:
    reply = server.client.get("/v1/engines")

    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "not_found"


def test_health_page_and_metrics_are_there(server: Server) -> None:
    server.post(compression_scale="a4v2")

    assert server.client.get("/livez").status_code == 200
    assert "MoME" in server.client.get("/").text
    metrics = server.client.get("/metrics").text
    assert 'mome_transcription_seconds_count{scale="a4v2"}' in metrics


def test_the_served_bento_says_which_version_it_is(server: Server, packaged: Path) -> None:
    version = read_bundle(packaged / "bundle").version

    reply = server.client.get("/v1/models")
    assert reply.headers["X-MoME-Version"] == version
    assert reply.json()["data"][0]["x_mome"]["version"] == version
    lines = [
        line
        for line in server.client.get("/metrics").text.splitlines()
        if line.startswith("mome_model_info{")
    ]
    assert len(lines) == 1, lines  # one for all workers
    assert f'version="{version}"' in lines[0]
    assert lines[0].endswith(" 1.0")


def test_serving_leaves_the_bento_as_it_was_packaged(server: Server, packaged: Path) -> None:
    def files(bento: Path) -> set[str]:
        names = {path.relative_to(bento).as_posix() for path in bento.rglob("*") if path.is_file()}
        return {name for name in names if not name.startswith("src/mome/inference")}  # was replaced here

    assert files(server.bento) == files(packaged / "bento")


def test_sigterm_answers_what_was_let_in_and_resets_nobody(bento: Path, tmp_path: Path) -> None:
    told = threading.Event()
    outcomes: list[tuple[bool, object]] = []  # whether it was sent after the signal, and what came

    def call(url: httpx.URL) -> None:
        while True:
            late = told.is_set()
            try:
                reply = httpx.post(url, files={"file": SPEECH}, timeout=20)
            except httpx.TransportError as error:
                outcomes.append((late, error))
                return
            outcomes.append((late, reply))

    with served(bento, tmp_path, PLANTED_PAUSE_S="0.2", MOME_MAX_BATCH="4") as server:
        url = server.client.base_url.join("/v1/audio/transcriptions")
        callers = [threading.Thread(target=call, args=[url]) for _ in range(12)]
        for caller in callers:
            caller.start()
        time.sleep(1.5)
        told.set()
        server.process.send_signal(signal.SIGTERM)
        for caller in callers:
            caller.join(20)
        assert server.process.wait(20) == 0

    replies = [outcome for _, outcome in outcomes if isinstance(outcome, httpx.Response)]
    errors = [outcome for _, outcome in outcomes if isinstance(outcome, Exception)]
    assert all(isinstance(error, httpx.ConnectError) for error in errors), errors  # refused, not reset
    assert len(errors) == 12
    before = [outcome for late, outcome in outcomes if not late]
    # Whoever was on the way when the signal came is let in, or told to go elsewhere.
    assert {reply.status_code for reply in replies} == {200, 503}
    assert sum(isinstance(each, httpx.Response) and each.status_code == 200 for each in before) >= 12
    ended = next(reply for reply in replies if reply.status_code == 503)
    assert ended.json()["error"]["code"] == "shutting_down"
    assert (ended.headers["Retry-After"], ended.headers["Connection"]) == ("1", "close")


def test_a_recording_that_outlasts_the_drain_ends_with_a_word(bento: Path, tmp_path: Path) -> None:
    long = {"file": wav(syllables(150.0))}
    settings = {"PLANTED_PAUSE_S": "2", "MOME_DRAIN_S": "4", "MOME_MAX_BATCH": "1"}
    settings["MOME_JOBS"] = str(tmp_path / "jobs")
    with served(bento, tmp_path, **settings) as server, ThreadPoolExecutor(1) as threads:
        url = server.client.base_url.join("/v1/audio/transcriptions")
        with httpx.stream("POST", url, files=long, data={"stream": "true"}, timeout=30) as stream:
            text = stream.iter_text()
            said = next(text)
            plain = threads.submit(httpx.post, url, files=long, timeout=30)
            while "mome_in_flight_requests 2.0" not in server.client.get("/metrics").text:
                time.sleep(0.1)
            server.process.send_signal(signal.SIGTERM)
            said += "".join(text)
        assert server.process.wait(20) == 0

    error = plain.result().json()["error"]
    assert (plain.result().status_code, error["code"]) == (503, "shutting_down")
    assert plain.result().headers["Retry-After"] == "1"
    assert "as a job it would outlast the service" in error["message"]
    *_, last = events(said)
    assert last == {"error": error}


@pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager")
def test_a_live_session_is_answered_before_sigterm_ends_it(bento: Path, tmp_path: Path) -> None:
    pcm = (syllables().clip(-1, 1) * 32_767).astype("<i2").tobytes()
    sound = {"format": {"type": "audio/pcm", "rate": 16_000}, "turn_detection": None}
    with served(bento, tmp_path, PLANTED_PAUSE_S="0.3") as server:
        client = openai.OpenAI(base_url=f"{server.client.base_url}/v1", api_key="any")
        with client.realtime.connect(extra_query={"intent": "transcription"}) as live:
            live.session.update(session={"type": "transcription", "audio": {"input": sound}})
            live.input_audio_buffer.append(audio=base64.b64encode(pcm).decode())
            live.input_audio_buffer.commit()
            kinds = [live.recv().type for _ in range(3)]
            server.process.send_signal(signal.SIGTERM)
            last = [live.recv() for _ in range(4)][-1]
            with pytest.raises(ConnectionClosed) as closed:
                live.recv()
        assert server.process.wait(20) == 0

    assert kinds == ["session.created", "session.updated", "input_audio_buffer.committed"]
    assert last.type == "conversation.item.input_audio_transcription.completed"
    assert last.transcript == "audio at a16v5"
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001


def test_a_connection_ends_with_its_answer(server: Server) -> None:
    # A copy of it is held elsewhere until then, and one is enough to keep it open.
    url = server.client.base_url
    assert url.port is not None
    (held,) = stand_ins(server)
    before = held.num_fds()
    for _ in range(20):
        with socket.create_connection((url.host, url.port), timeout=10) as connection:
            connection.sendall(
                f"GET /v1/scale HTTP/1.1\r\nHost: {url.host}\r\nConnection: close\r\n\r\n".encode()
            )
            reply = b"".join(iter(partial(connection.recv, 65_536), b""))
        assert reply.startswith(b"HTTP/1.1 200 ")
    assert held.num_fds() == before


def test_whoever_ends_the_stand_in_harms_no_request(server: Server) -> None:
    (before,) = stand_ins(server)
    before.kill()
    deadline = time.monotonic() + 20
    while not (after := [each for each in stand_ins(server) if each.pid != before.pid]):
        assert server.post().status_code == 200
        assert time.monotonic() < deadline
    assert len(after) == 1


@pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager")
def test_a_worker_that_is_killed_leaves_nobody_without_a_word(bento: Path, tmp_path: Path) -> None:
    long = {"file": wav(syllables(150.0))}
    settings = {"PLANTED_PAUSE_S": "2", "MOME_MAX_BATCH": "1", "MOME_CORS_ORIGINS": "https://app.example"}
    with served(bento, tmp_path, **settings) as server, ThreadPoolExecutor(3) as threads:
        url = server.client.base_url.join("/v1/audio/transcriptions")
        address = (url.host, url.port)
        client = openai.OpenAI(base_url=f"{server.client.base_url}/v1", api_key="any")
        with (
            httpx.stream("POST", url, files=long, data={"stream": "true"}, timeout=30) as stream,
            client.realtime.connect(extra_query={"intent": "transcription"}) as live,
            socket.create_connection(address, timeout=30) as uploading,
            socket.create_connection(address, timeout=30) as from_a_page,
        ):
            text = stream.iter_text()
            said = next(text)
            assert live.recv().type == "session.created"
            head = f"POST {url.path} HTTP/1.1\r\nHost: {url.host}\r\nContent-Length: 4000000\r\n"
            head += "Content-Type: multipart/form-data; boundary=b\r\n"
            uploading.sendall(f"{head}\r\n--b".encode())
            from_a_page.sendall(f"{head}Origin: https://app.example\r\n\r\n--b".encode())
            waiting = [threads.submit(httpx.post, url, files={"file": SPEECH}, timeout=30) for _ in range(3)]
            while "mome_waiting_requests 3.0" not in server.client.get("/metrics").text:
                time.sleep(0.1)
            (worker,) = Running(str(url), psutil.Process(server.process.pid)).workers()
            worker.kill()
            for _ in range(3):  # whoever still sends is listened to
                uploading.sendall(bytes(1_000_000))
            said += "".join(text)
            last = live.recv()
            with pytest.raises(ConnectionClosed) as closed:
                live.recv()
            unsent = [b"".join(iter(partial(one.recv, 65_536), b"")) for one in (uploading, from_a_page)]
        deadline = time.monotonic() + 20  # callers are told first
        while "left 7 requests" not in (log := server.log.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)

    replies = [each.result() for each in waiting]
    error = {
        "message": "the process that had this request was killed; send it again",
        "type": "server_error",
        "param": None,
        "code": "worker_lost",
    }
    assert [(reply.status_code, reply.json()) for reply in replies] == [(503, {"error": error})] * 3
    for reply in replies:
        assert (reply.headers["Retry-After"], reply.headers["Connection"]) == ("1", "close")
        assert reply.headers["X-MoME-Version"] == read_bundle(bento / "src" / "bundle").version
        assert reply.headers["X-Request-ID"] in log
    assert events(said)[-1] == {"error": error}
    assert last.type == "error"
    assert last.error.code == "worker_lost"
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    for raw in unsent:
        assert raw.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert raw.endswith(json.dumps({"error": error}, separators=(",", ":")).encode())
    assert [b"access-control-allow-origin: https://app.example" in raw for raw in unsent] == [False, True]
    assert "left 7 requests" in log


def test_a_service_that_is_full_refuses_within_milliseconds(bento: Path, tmp_path: Path) -> None:
    slow = {"PLANTED_PAUSE_S": "0.3", "MOME_MAX_BATCH": "1", "MOME_MAX_WAITING_S": "2"}
    with served(bento, tmp_path, **slow) as server, ThreadPoolExecutor(24) as threads:
        large = wav(syllables(20.0))  # more than a socket buffers: its sender reads the refusal all the same

        def post(number: int) -> tuple[int, str | None, float]:
            started = time.perf_counter()
            reply = server.post(large if number % 6 == 5 else SPEECH)
            return reply.status_code, reply.headers.get("Retry-After"), time.perf_counter() - started

        answers = list(threads.map(post, range(24)))
        metrics = server.client.get("/metrics").text

    refused = [(again, seconds) for status, again, seconds in answers if status == 429]
    assert {status for status, _, _ in answers} == {200, 429}
    assert len(refused) >= 12
    assert all(again is not None and int(again) >= 1 for again, _ in refused)
    # The longest text takes a second: nobody waited for one to be told.
    assert sorted(seconds for _, seconds in refused)[len(refused) // 2] < 0.5
    assert f'mome_refused_requests_total{{code="rate_limit_exceeded"}} {len(refused)}.0' in metrics
    for name in ("waiting_requests", "waiting_seconds", "in_flight_requests"):
        (line,) = [line for line in metrics.splitlines() if line.startswith(f"mome_{name} ")]
        assert line.endswith(" 0.0")


def test_a_job_outlasts_the_service_that_took_it(bento: Path, tmp_path: Path) -> None:
    path = "/v1/audio/transcriptions/jobs"
    shared = {"MOME_JOBS": str(tmp_path / "jobs")}
    (tmp_path / "first").mkdir()
    with served(bento, tmp_path / "first", **shared, PLANTED_PAUSE_S="1") as first:
        reply = first.client.post(path, files={"file": ("a.wav", wav(syllables(180.0)))})
        assert reply.status_code == 202, reply.text
        job = reply.headers["Location"]
        while first.client.get(job).json()["status"] == "queued":
            time.sleep(0.1)

    (tmp_path / "second").mkdir()
    with served(bento, tmp_path / "second", **shared) as second:
        deadline = time.monotonic() + 60
        while (state := second.client.get(job).json())["ended_at"] is None and time.monotonic() < deadline:
            time.sleep(0.2)
        assert (state["status"], state["progress"]) == ("completed", {"seconds": 180.0, "of": 180.0})
        text = second.client.get(f"{job}/result").json()["text"]
        assert set(text.split()) == {"audio", "at", "a16v5"}
        assert second.post(wav(syllables(180.0))).json() == {"text": text}


def test_a_damaged_bundle_does_not_start(packaged: Path, tmp_path: Path) -> None:
    bento = tmp_path / "bento"
    shutil.copytree(packaged / "bento", bento)
    weights = bento / "src" / "bundle" / "checkpoint" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:12]

    done = subprocess.run(
        [sys.executable, "-m", "bentoml", "serve", str(bento), "--port", "0"],
        env=os.environ | {"BENTOML_HOME": str(tmp_path / "home"), "BENTOML_DO_NOT_TRACK": "True"},
        capture_output=True,
        text=True,
        timeout=STARTUP_S,
    )

    assert done.returncode != 0
    assert f"checkpoint/model.safetensors: was changed: SHA-256 {digest}" in done.stderr
