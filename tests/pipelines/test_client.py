"""Who asks, and whom to trust."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mome.errors import MomeError
from pipelines.calls import Patience, ServerError
from pipelines.client import Connection, connect
from pipelines.credentials import find_credentials

QUICK = Patience(attempts=2, first_wait_s=0.01)
VARIABLES = (
    *("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_UI_ENDPOINT", "KF_PIPELINES_NAMESPACE", "KF_PIPELINES_CA_CERT"),
    *("KF_PIPELINES_TOKEN", "KF_PIPELINES_TOKEN_FILE", "KF_PIPELINES_OIDC_AUDIENCE"),
    *("KF_PIPELINES_SA_TOKEN_PATH", "KUBERNETES_SERVICE_HOST"),
    *("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


class Replies(BaseHTTPRequestHandler):
    """Answers every request with the next of its replies, the last one for ever."""

    asked: list[tuple[str, str | None]]
    replies: list[tuple[int, object]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization")))
        status, content = self.replies[min(len(self.asked), len(self.replies)) - 1]
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        if status == 302:
            self.send_header("Location", "/dex/auth")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_values: object) -> None:
        pass


class Listening:
    """A server that runs until the test ends."""

    def __init__(self, replies: list[tuple[int, object]], context: ssl.SSLContext | None = None) -> None:
        self.asked: list[tuple[str, str | None]] = []
        handler = type("Planted", (Replies,), {"asked": self.asked, "replies": replies})
        self.listener = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if context is not None:
            self.listener.socket = context.wrap_socket(self.listener.socket, server_side=True)
        self.scheme = "http" if context is None else "https"
        threading.Thread(target=self.listener.serve_forever, kwargs={"poll_interval": 0.02}).start()

    @property
    def address(self) -> str:
        return f"{self.scheme}://localhost:{self.listener.server_port}"

    def stop(self) -> None:
        self.listener.shutdown()
        self.listener.server_close()


@pytest.fixture
def listening() -> Iterator[list[Listening]]:
    started: list[Listening] = []
    yield started
    for server in started:
        server.stop()


HEALTHY = {"multi_user": False, "tag_name": "2.17.0"}


def test_a_token_file_comes_before_the_environment_and_that_before_the_pod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_credentials() is None
    (tmp_path / "projected").write_text("pod\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "projected"))
    assert find_credentials().token() == "pod"
    monkeypatch.setenv("KF_PIPELINES_TOKEN", "variable")
    assert find_credentials().token() == "variable"
    (tmp_path / "file").write_text("file\n")
    monkeypatch.setenv("KF_PIPELINES_TOKEN_FILE", str(tmp_path / "file"))
    assert find_credentials().token() == "file"
    (tmp_path / "given").write_text("given\n")
    assert find_credentials(tmp_path / "given").token() == "given"


def test_a_pod_finds_the_server_of_its_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "projected").write_text("pod\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "projected"))
    with pytest.raises(MomeError, match="KF_PIPELINES_ENDPOINT"):
        Connection.find()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert Connection.find().host == "http://ml-pipeline.kubeflow.svc.cluster.local:8888"


def jwt(ends_in_s: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + ends_in_s}).encode()).decode()
    return f"e30.{claims.rstrip('=')}.c2ln"


def test_github_is_asked_for_an_identity_and_again_before_it_ends(
    listening: list[Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    ending, lasting = jwt(30), jwt(600)
    server = Listening([(200, {"value": ending}), (200, {"value": lasting})])
    listening.append(server)
    monkeypatch.setenv("KF_PIPELINES_OIDC_AUDIENCE", "kubeflow & co")
    with pytest.raises(MomeError, match="id-token"):
        find_credentials()
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{server.address}/token?v=1")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-job")
    credentials = find_credentials()
    assert [credentials.token() for _ in range(3)] == [ending, lasting, lasting]
    assert server.asked == [("/token?v=1&audience=kubeflow+%26+co", "Bearer of-the-job")] * 2


@pytest.mark.parametrize("reply", [(403, {"message": "no"}), (200, {"token": "x"}), (200, [])])
def test_no_identity_is_an_error_without_the_jobs_token(
    listening: list[Listening], monkeypatch: pytest.MonkeyPatch, reply: tuple[int, object]
) -> None:
    server = Listening([reply])
    listening.append(server)
    monkeypatch.setenv("KF_PIPELINES_OIDC_AUDIENCE", "kubeflow")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{server.address}/token?v=1")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-job")
    with pytest.raises(MomeError, match="no identity token") as refused:
        find_credentials().token()
    assert "of-the-job" not in str(refused.value)


@pytest.fixture
def github(listening: list[Listening], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Listening]:
    """Make a job whose identity comes as these replies say, the last one for ever."""

    def job(*replies: tuple[int, object]) -> Listening:
        server = Listening(list(replies))
        listening.append(server)
        monkeypatch.setenv("KF_PIPELINES_OIDC_AUDIENCE", "kubeflow")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{server.address}/token?v=1")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-job")
        monkeypatch.setattr("pipelines.credentials.PATIENCE", QUICK)
        return server

    return job


def test_github_may_be_away_for_a_moment(github: Callable[..., Listening]) -> None:
    server = github((503, {}), (200, {"value": jwt(600)}))
    assert find_credentials().token().startswith("e30.")
    assert len(server.asked) == 2


def test_github_that_stays_away_is_a_server_that_is_away(github: Callable[..., Listening]) -> None:
    server = github((503, {}))
    with pytest.raises(ServerError, match=r"ask GitHub for an identity token: .* \(503\)") as away:
        find_credentials().token()
    assert "of-the-job" not in str(away.value)
    server.listener.server_close()
    with pytest.raises(ServerError, match="cannot be reached"):
        find_credentials().token()


def test_a_call_outlasts_a_github_that_is_away_for_longer_than_one_question(
    github: Callable[..., Listening], listening: list[Listening]
) -> None:
    kubeflow = Listening([(200, HEALTHY)])
    listening.append(kubeflow)
    identity = jwt(600)
    github((503, {}), (503, {}), (200, {"value": identity}))
    connect(Connection.find(kubeflow.address), QUICK)
    assert kubeflow.asked[0][1] == f"Bearer {identity}"


def test_a_login_page_is_told_from_the_server(listening: list[Listening]) -> None:
    server = Listening([(302, {})])
    listening.append(server)
    with pytest.raises(ServerError, match="login page"):
        connect(Connection.find(server.address), QUICK)
    assert len(server.asked) == 1


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for this machine that nobody trusts by default."""
    folder = tmp_path_factory.mktemp("authority")
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *("-keyout", "key.pem", "-out", "ca.pem", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder


def test_a_private_authority_is_trusted_only_if_it_is_given(
    listening: list[Listening], authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "ca.pem", authority / "key.pem")
    server = Listening([(200, HEALTHY)], context)
    listening.append(server)
    with pytest.raises(ServerError, match="--ca-cert"):
        connect(Connection.find(server.address), QUICK)
    connect(Connection.find(server.address, ca_cert=authority / "ca.pem"), QUICK)
    monkeypatch.setenv("KF_PIPELINES_CA_CERT", str(authority / "ca.pem"))
    client = connect(Connection.find(server.address), QUICK)
    # kfp's own calls trust it too: the answer is none of an experiment, but it came.
    assert client.experiments.experiment_service_get_experiment("e1").experiment_id is None
    with pytest.raises(MomeError, match="no such file"):
        Connection.find(server.address, ca_cert=authority / "none.pem")


@pytest.mark.parametrize(
    "host",
    [
        "kubeflow.example.org",
        "ftp://example.org",
        "https://",
        "https://user:secret@example.org",
        "https://h/?a=b",
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(host: str) -> None:
    with pytest.raises(MomeError, match="--host") as refused:
        Connection.find(host)
    assert "secret" not in str(refused.value)
