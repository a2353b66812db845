"""An image that is not where the cluster will look for it is known before a run begins."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mome.errors import ConfigError
from pipelines.calls import AccessDenied, Patience, ServerError
from pipelines.submit.images import check_images
from tests.pipelines.planted_server import Server
from tests.pipelines.submit.submission import PACKAGE, submit

QUICK = Patience(attempts=2, first_wait_s=0.01)
DIGEST = f"sha256:{'a' * 64}"
LOGIN = base64.b64encode(b"robot:secret").decode()


@dataclass
class Registry:
    """What a registry holds, whom it lets in, and what it was asked."""

    holds: set[str] = field(default_factory=set)
    wants: str = ""  # Bearer, Basic, or nobody's name
    status: int = 0  # instead of an answer
    realm: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    host: str = ""


class Handler(BaseHTTPRequestHandler):
    """The part of the OCI distribution protocol that is looked at."""

    registry: Registry

    def do_HEAD(self) -> None:
        registry = self.registry
        identity = self.headers.get("Authorization", "")
        registry.asked.append((self.command, self.path, identity))
        if registry.status:
            self.send_response(registry.status)
        elif registry.wants == "Bearer" and identity != "Bearer pass":
            self.send_response(401)
            realm = registry.realm or f"http://{registry.host}/token"
            challenge = f'Bearer realm="{realm}",service="r",scope="repository:team/mome-train:pull"'
            self.send_header("WWW-Authenticate", challenge)
        elif registry.wants == "Basic" and identity != f"Basic {LOGIN}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="r"')
        else:
            assert "application/vnd.oci.image.index.v1+json" in self.headers["Accept"]
            self.send_response(200 if self.path in registry.holds else 404)
        self.end_headers()

    def do_GET(self) -> None:
        self.registry.asked.append((self.command, self.path, self.headers.get("Authorization", "")))
        content = json.dumps({"token": "pass"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_values: object) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[Registry]:
    planted = Registry(holds={f"/v2/team/mome-train/manifests/{DIGEST}"})
    handler = type("Planted", (Handler,), {"registry": planted})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        planted.host = f"127.0.0.1:{listener.server_port}"
        threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}).start()
        yield planted
        listener.shutdown()


def log_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": LOGIN}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


def test_an_image_that_is_there_is_asked_for_once_and_not_fetched(registry: Registry) -> None:
    check_images([f"{registry.host}/team/mome-train@{DIGEST}"], QUICK)
    assert [(method, path) for method, path, _ in registry.asked] == [
        ("HEAD", f"/v2/team/mome-train/manifests/{DIGEST}")
    ]


def test_a_digest_that_is_not_there_is_named_with_what_to_do(registry: Registry) -> None:
    gone = f"{registry.host}/team/mome-train@sha256:{'b' * 64}"
    with pytest.raises(ConfigError, match=r"not in the registry: .*images\.lock\.json") as missing:
        check_images([gone, f"{registry.host}/team/mome-train@{DIGEST}"], QUICK)
    assert gone in str(missing.value)
    assert DIGEST not in str(missing.value)


@pytest.mark.parametrize("logged_in", [False, True])
def test_a_registry_that_gives_passes_is_asked_for_one(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged_in: bool
) -> None:
    registry.wants = "Bearer"
    if logged_in:
        log_in(tmp_path, monkeypatch, registry.host)
    check_images([f"{registry.host}/team/mome-train@{DIGEST}"], QUICK)
    method, path, identity = registry.asked[1]
    assert (method, path) == ("GET", "/token?service=r&scope=repository%3Ateam%2Fmome-train%3Apull")
    assert identity == (f"Basic {LOGIN}" if logged_in else "")
    assert registry.asked[2][2] == "Bearer pass"


def test_a_registry_that_wants_a_name_gets_that_of_the_login(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.wants = "Basic"
    image = f"{registry.host}/team/mome-train@{DIGEST}"
    with pytest.raises(AccessDenied, match="docker login"):
        check_images([image], QUICK)
    log_in(tmp_path, monkeypatch, registry.host)
    check_images([image], QUICK)


def test_a_name_is_not_sent_where_anybody_could_read_it(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.wants, registry.realm = "Bearer", "http://passes.example.org/token"
    log_in(tmp_path, monkeypatch, registry.host)
    with pytest.raises(ServerError, match="without encryption"):
        check_images([f"{registry.host}/team/mome-train@{DIGEST}"], QUICK)


@pytest.mark.parametrize(("status", "times"), [(503, 2), (307, 1)])
def test_a_registry_that_fails_is_no_missing_image(registry: Registry, status: int, times: int) -> None:
    registry.status = status
    with pytest.raises(ServerError, match=str(status)):
        check_images([f"{registry.host}/team/mome-train@{DIGEST}"], QUICK)
    assert len(registry.asked) == times


@pytest.mark.parametrize(
    "image", [f"mome-train@{DIGEST}", f"team/mome-train@{DIGEST}", "r.example.org/mome:1"]
)
def test_an_image_without_a_registry_cannot_be_asked_for(image: str) -> None:
    with pytest.raises(ConfigError, match="MOME_IMAGE_REGISTRY says host and path"):
        check_images([image], QUICK)


def test_a_submission_with_an_image_that_is_gone_is_exit_1(
    server: Server, registry: Registry, tmp_path: Path
) -> None:
    package = tmp_path / "package.yaml"
    tag = next(iter(PACKAGE.images)).rpartition(":")[2]
    text = PACKAGE.text.replace("image: mome-", f"image: {registry.host}/team/mome-")
    package.write_text(text.replace(f":{tag}\n", f"@{DIGEST}\n"))
    given = [str(package), "--check-images", "--require-digests"]
    code, result, _ = submit(server, tmp_path, *given)
    assert (code, server.asked) == (1, [])
    assert f"mome-serve@{DIGEST}" in result["outcome"]["reason"]
    registry.holds |= {path for _, path, _ in registry.asked}
    assert submit(server, tmp_path, *given)[0] == 0
