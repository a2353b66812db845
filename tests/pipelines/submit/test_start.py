"""A run is started once for its key, again after it broke, and in its turn; an interruption loses none."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import kfp_server_api as api
import pytest

from mome.records import GateDecision
from pipelines.calls import Patience
from tests.pipelines.planted_server import BEGAN, Fault, Server
from tests.pipelines.submit.submission import BROKEN, PASSED, REJECTED, submit

CANCELLED = [("CANCELED", {"train": "FAILED"})]


def another(server: Server, listed: int = 999) -> Any:
    """Plant a run of somebody else in the experiment, which ends after it was listed so often."""
    run_id = f"r{len(server.runs) + 1}"
    run = api.V2beta1Run(run_id=run_id, display_name="other", created_at=BEGAN, state="RUNNING")
    server.runs.append(run)
    server.busy[run_id] = listed
    return run


def test_a_run_that_a_person_ends_on_the_server_is_no_step_that_ran_out_of_memory(
    server: Server, tmp_path: Path
) -> None:
    # The server calls it failed in the end, and the step that was at work has no last word.
    server.history = ["PENDING", "RUNNING", "CANCELING"]
    server.stories = {"r1": [("FAILED", {"build-foundation": "FAILED", "train": None, "notify": None})]}
    server.logs = {"build-foundation": "step 10 of 1000\n"}
    code, result, comment = submit(server, tmp_path, "--key", "k")
    assert (code, result["outcome"]["verdict"]) == (4, "cancelled")
    assert "somebody ended the run on the server" in comment
    assert "out of memory" not in comment
    server.history = []
    assert submit(server, tmp_path, "--key", "k")[1]["run_id"] == "r2"


def test_a_run_that_was_to_be_ended_too_late_counts_as_it_ended(server: Server, tmp_path: Path) -> None:
    server.history = ["PENDING", "RUNNING", "CANCELING"]
    assert submit(server, tmp_path)[0] == 0


@pytest.mark.parametrize("story", [BROKEN, CANCELLED])
def test_the_same_key_trains_again_after_a_run_that_broke(
    server: Server, tmp_path: Path, story: list[tuple[str, dict[str, str]]]
) -> None:
    server.stories = {"r1": story, "r2": story}
    assert submit(server, tmp_path, "--key", "k")[0] == 4
    assert submit(server, tmp_path, "--key", "k")[0] == 4
    code, result, _ = submit(server, tmp_path, "--key", "k")
    assert (code, result["run_id"]) == (0, "r3")
    name = "mome-training 1.0.0+gabc k"
    assert [run.display_name for run in server.runs] == [name, f"{name} 2", f"{name} 3"]
    assert result["run"] == f"{name} 3"


@pytest.mark.parametrize(("story", "code"), [(REJECTED, 3), (PASSED, 0)])
def test_an_answer_of_the_gate_is_kept(
    server: Server, tmp_path: Path, story: list[tuple[str, dict[str, str]]], code: int
) -> None:
    server.story = story
    assert submit(server, tmp_path, "--key", "k")[0] == code
    assert submit(server, tmp_path, "--key", "k")[0] == code
    assert len(server.runs) == 1


def test_a_run_that_was_ended_after_the_gates_no_is_not_trained_again(server: Server, tmp_path: Path) -> None:
    no = GateDecision(passed=False, reason="budget", checks=[], max_wer={}).model_dump_json()
    server.story = [("CANCELED", {"gate": "SUCCEEDED"})]
    server.logs = {"gate": no}
    assert submit(server, tmp_path, "--key", "k")[0] == 3
    assert submit(server, tmp_path, "--key", "k")[0] == 3
    assert len(server.runs) == 1


def test_a_run_waits_for_its_turn(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = another(server, listed=4)
    assert submit(server, tmp_path, "--one-at-a-time")[0] == 0
    assert other.state == "SUCCEEDED"
    assert len(server.runs) == 2
    assert capsys.readouterr().err.count("waiting for run r1, other") == 1


def test_without_being_asked_nobody_waits(server: Server, tmp_path: Path) -> None:
    another(server)
    assert submit(server, tmp_path)[0] == 0


def test_a_turn_that_does_not_come_is_exit_6_and_nothing_was_started(server: Server, tmp_path: Path) -> None:
    another(server)
    code, result, _ = submit(server, tmp_path, "--one-at-a-time", "--timeout", "0.2")
    assert (code, result["run_id"], len(server.runs)) == (6, "", 1)
    assert "its turn has not come: run r1 has not ended; no run was started" in result["outcome"]["reason"]
    assert server.terminated == []


def test_a_run_of_ones_own_is_found_without_waiting_for_a_turn(server: Server, tmp_path: Path) -> None:
    server.story = [("RUNNING", {"train": "RUNNING"})]
    assert submit(server, tmp_path, "--key", "k", "--one-at-a-time", "--timeout", "0.05")[0] == 6
    another(server)
    server.story = PASSED
    assert submit(server, tmp_path, "--key", "k", "--one-at-a-time")[0] == 0


def test_of_two_that_start_in_the_same_moment_the_younger_steps_back(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Server.answer

    def with_another(self: Server, method: str, path: str, *more: Any) -> Any:
        if method == "POST" and path.endswith("/runs") and not self.runs:
            another(self, listed=3)  # between our look and our start
        return answer(self, method, path, *more)

    monkeypatch.setattr(Server, "answer", with_another)
    code, result, _ = submit(server, tmp_path, "--one-at-a-time", "--key", "k")
    assert (code, result["run_id"], server.terminated) == (0, "r3", ["r2"])
    assert result["run"].endswith(" k 2")


def test_the_elder_of_two_goes_on(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Server.answer

    def with_another(self: Server, method: str, path: str, *more: Any) -> Any:
        found = answer(self, method, path, *more)
        if method == "POST" and path.endswith("/runs"):
            another(self).created_at = self.runs[0].created_at  # of the same second, with a later id
        return found

    monkeypatch.setattr(Server, "answer", with_another)
    code, result, _ = submit(server, tmp_path, "--one-at-a-time")
    assert (code, result["run_id"], server.terminated) == (0, "r1", [])


def interrupted(lost: bool) -> Callable[..., Any]:
    """Return a server's answer that is slow to start a run, and an interruption before it comes."""
    answer = Server.answer

    def slow(self: Server, method: str, path: str, *more: Any) -> Any:
        starting = method == "POST" and path.endswith("/runs")
        if starting:
            threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            if lost:
                time.sleep(0.3)
        found = answer(self, method, path, *more)
        if starting:
            time.sleep(0.3)
        return found

    return slow


@pytest.mark.parametrize("lost", [False, True], ids=["it is there", "it comes later"])
@pytest.mark.parametrize("end", [False, True], ids=["goes on", "ends"])
def test_an_interruption_while_a_run_is_started_leaves_none_behind(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: bool, end: bool
) -> None:
    monkeypatch.setattr(Server, "answer", interrupted(lost))
    more = ["--terminate-on", "interrupt"] if end else []
    code, result, _ = submit(server, tmp_path, "--retry-wait", "0.3", *more)
    assert (code, result["run_id"]) == (130, "r1")
    assert server.terminated == (["r1"] if end else [])
    assert ("was told to end" if end else "goes on") in result["outcome"]["reason"]


def test_a_second_signal_of_ci_does_not_break_off_the_end_of_the_run(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.story = [("RUNNING", {"train": "RUNNING"})]
    answer = Server.answer

    def signalling(self: Server, method: str, path: str, *more: Any) -> Any:
        if path.endswith("/runs/r1"):
            os.kill(os.getpid(), signal.SIGINT)
        if path.endswith(":terminate"):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)
        return answer(self, method, path, *more)

    monkeypatch.setattr(Server, "answer", signalling)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    code, result, _ = submit(server, tmp_path, "--terminate-on", "interrupt")
    assert (code, server.terminated) == (130, ["r1"])
    assert "was told to end" in result["outcome"]["reason"]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_a_run_that_cannot_be_ended_is_told_of(server: Server, tmp_path: Path) -> None:
    server.story = [("RUNNING", {})]
    server.faults = [Fault("POST", ":terminate", 403, times=9)]
    code, result, _ = submit(server, tmp_path, "--timeout", "0.05", "--terminate-on", "timeout")
    assert (code, result["run_id"]) == (6, "r1")
    assert "should end, but goes on" in result["outcome"]["reason"]


def test_a_run_that_ends_while_it_is_told_to_end_is_no_fault(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.story = [("RUNNING", {})]
    answer = Server.answer

    def ending(self: Server, method: str, path: str, *more: Any) -> Any:
        if path.endswith(":terminate"):
            self.story, self.runs[0].state = PASSED[-1:], "SUCCEEDED"
        return answer(self, method, path, *more)

    monkeypatch.setattr(Server, "answer", ending)
    code, result, _ = submit(server, tmp_path, "--timeout", "0.05", "--terminate-on", "timeout")
    assert (code, server.terminated) == (6, [])
    assert "goes on" not in result["outcome"]["reason"]


def test_a_server_that_hangs_does_not_outlive_the_timeout(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.calls.TIMEOUT_S", (0.2, 0.1))
    server.faults = [Fault("GET", r"/runs/r1$", hang_s=0.3, times=999)]
    began = time.monotonic()
    code, result, _ = submit(server, tmp_path, "--timeout", "1")
    assert (code, result["run_id"]) == (6, "r1")
    assert "no time is left; run r1 goes on" in result["outcome"]["reason"].replace(")", "")
    assert time.monotonic() - began < 10


def test_a_request_that_fails_is_sent_as_often_as_patience_has_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.calls.TIMEOUT_S", (0.2, 0.1))
    monkeypatch.setattr("pipelines.submit.__main__.Patience", lambda **_: Patience(3, 0.01))
    server.faults = [Fault("GET", "/experiments$", hang_s=0.2, times=999)]
    assert submit(server, tmp_path)[0] == 5
    assert server.asked.count(("GET", "/apis/v2beta1/experiments")) == 3


class Identity(BaseHTTPRequestHandler):
    """GitHub: gives an identity as long as the run is not there, and again when it was looked at in vain."""

    server_of_runs: Server
    refusals: int

    def do_GET(self) -> None:
        refused = bool(self.server_of_runs.runs) and self.refusals > 0
        type(self).refusals -= refused
        content = b'{"value": "right"}'
        self.send_response(503 if refused else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_values: object) -> None:
        pass


@pytest.mark.parametrize(("refusals", "code"), [(5, 0), (999, 5)])
def test_a_run_is_known_whatever_github_says_of_our_identity_meanwhile(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusals: int, code: int
) -> None:
    handler = type("Planted", (Identity,), {"server_of_runs": server, "refusals": refusals})
    monkeypatch.delenv("KF_PIPELINES_TOKEN")
    monkeypatch.setattr("pipelines.credentials.PATIENCE", Patience(2, 0.01))
    monkeypatch.setattr("pipelines.submit.job.WAITING", Patience(4, longest_wait_s=0.01))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as github:
        threading.Thread(target=github.serve_forever, kwargs={"poll_interval": 0.02}).start()
        monkeypatch.setenv("KF_PIPELINES_OIDC_AUDIENCE", "kubeflow")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"http://127.0.0.1:{github.server_port}/?a=b")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-job")
        result = submit(server, tmp_path)
        github.shutdown()
    assert (result[0], result[1]["run_id"]) == (code, "r1")
    if code:
        assert "run r1 goes on" in result[1]["outcome"]["reason"]


def test_logs_that_do_not_come_hold_up_the_verdict_for_a_limited_time(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.submit.job.LOGS_S", 0.5)
    monkeypatch.setattr("pipelines.calls.LEAST_S", 0.1)
    server.story = BROKEN
    server.faults = [Fault("GET", "log", hang_s=2.0, times=999)]
    began = time.monotonic()
    assert submit(server, tmp_path)[0] == 4
    assert time.monotonic() - began < 10
    assert sum("log" in path for _, path in server.asked) <= 2
