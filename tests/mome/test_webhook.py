"""People are told how a run ended, and a chat that is away changes nothing."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from mome.webhook import NOTIFY_UI, NOTIFY_URL, send, tell


class Chat:
    """A webhook: it keeps what it is sent and answers with the statuses it was given, then 200."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str, object]] = []
        self.statuses: list[int] = []
        self.location = ""
        chat = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                chat.received.append((self.path, self.headers["Content-Type"], json.loads(body)))
                self.send_response(chat.statuses.pop(0) if chat.statuses else 200)
                if chat.location:
                    self.send_header("Location", chat.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/services/s3cret-token"


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    chat = Chat()
    thread = threading.Thread(target=chat.server.serve_forever, daemon=True)
    thread.start()
    yield chat
    chat.server.shutdown()
    thread.join()
    chat.server.server_close()


def said(
    chat: Chat,
    state: str,
    message: str | None = None,
    only_failures: bool = False,
    ui: str = "",
    *,
    has_loop: bool = False,
    run: str = "nightly",
) -> bool:
    environment = {NOTIFY_URL: chat.url, NOTIFY_UI: ui}
    given = state, message, only_failures, has_loop, environment, (0.0, 0.0)
    return tell("mome-training", run, "1f2e", *given)


@pytest.mark.parametrize("state", ["SUCCEEDED", "COMPLETE", "CACHED"])
def test_a_success_is_posted_as_slack_takes_it(chat: Chat, state: str) -> None:
    assert said(chat, state, ui="https://kubeflow.example/")
    assert chat.received == [
        (
            "/services/s3cret-token",
            "application/json",
            {"text": "mome-training: run nightly succeeded\nhttps://kubeflow.example/#/runs/details/1f2e"},
        )
    ]


def test_a_failure_is_posted_with_its_reason_and_calls_nobody(chat: Chat) -> None:
    assert said(chat, "FAILED", "the gate\nrejected <!channel>", only_failures=True)
    ((_, _, content),) = chat.received
    text = content["text"]
    assert text.startswith("mome-training: run nightly FAILED\nthe gate rejected  !channel \n")


@pytest.mark.parametrize("state", ["RUNNING", "PENDING", ""])
def test_a_state_that_was_left_open_is_a_step_that_was_killed(chat: Chat, state: str) -> None:
    assert said(chat, state, only_failures=True)
    text = chat.received[0][2]["text"]
    assert text.startswith("mome-training: run nightly FAILED\na step ended without a word: it was killed")
    assert "RUNNING" not in text


def test_where_a_loop_may_leave_it_open_neither_is_claimed(chat: Chat) -> None:
    assert said(chat, "RUNNING", has_loop=True, ui="https://kubeflow.example")
    text = chat.received[0][2]["text"]
    assert "FAILED" not in text
    assert "succeeded" not in text
    assert text.endswith("#/runs/details/1f2e")


def test_a_run_without_a_name_is_called_by_its_id(chat: Chat) -> None:
    said(chat, "FAILED", run="")
    assert chat.received[0][2]["text"].startswith("mome-training: run 1f2e FAILED")


def test_a_success_can_be_kept_quiet(chat: Chat) -> None:
    assert not said(chat, "SUCCEEDED", only_failures=True)
    assert not chat.received


def test_without_an_address_it_says_so_and_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert not tell("p", "r", "1", "FAILED", None, False, environment={})
    assert "MOME_NOTIFY_URL is not set, so nobody was told" in capsys.readouterr().out


def test_a_chat_that_stumbles_is_asked_again(chat: Chat) -> None:
    chat.statuses = [503, 429]
    assert said(chat, "FAILED")
    assert len(chat.received) == 3


def test_a_chat_that_refuses_is_not_asked_again(chat: Chat, capsys: pytest.CaptureFixture[str]) -> None:
    chat.statuses = [404]
    assert not said(chat, "FAILED")
    assert len(chat.received) == 1
    assert "nobody was told: the webhook answered 404; correct the address" in capsys.readouterr().out


def test_a_message_is_not_sent_on_to_where_an_answer_points(chat: Chat) -> None:
    chat.statuses, chat.location = [302], "http://127.0.0.1:9/elsewhere"
    assert send(chat.url, "x", ()) == "the webhook answered 302; correct the address in the secret"
    assert len(chat.received) == 1


def test_an_unreachable_chat_is_a_line_without_the_secret(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/services/s3cret-token"
    assert not tell("p", "r", "1", "FAILED", None, False, environment={NOTIFY_URL: url}, waits_s=(0.0,))
    out = capsys.readouterr().out
    assert "nobody was told: the webhook cannot be reached" in out
    assert "2 times" in out
    assert "s3cret" not in out


@pytest.mark.parametrize("url", ["file:///etc/passwd", "s3cret", "https://", "http:///s3cret"])
def test_an_address_of_another_kind_is_refused_without_being_shown(url: str) -> None:
    problem = send(url, "x", ())
    assert problem is not None
    assert "is no http(s) address" in problem
    assert "s3cret" not in problem
