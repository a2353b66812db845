"""A corpus in a repository that asks who reads it, with the credentials where a step finds them."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from data import version
from mome.errors import RevisionError

EXPECTED = "Basic " + base64.b64encode(b"reader:s3cret").decode()


class Git(BaseHTTPRequestHandler):
    """git's own server behind a name and a password."""

    root: Path

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != EXPECTED:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        parts, body = urlsplit(self.path), self.body()
        environment = os.environ | {
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, capture_output=True, check=True
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(fields.pop("Status", "200 OK").split()[0]))
        for name, value in (fields | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815 - the name is the base class's

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def log_message(self, *_said: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path, make_corpus, prepare_params) -> Iterator[str]:
    """Serve a corpus from a private repository, its recordings from a storage beside."""
    make_corpus(tmp_path / "talk")
    folder = tmp_path / "served" / "speech.git"
    version.run(str(tmp_path / "talk"), prepare_params, folder)
    config = folder / ".dvc" / "config"
    config.write_text(config.read_text() + f"['remote \"elsewhere\"']\n    url = {folder / 'storage'}\n")
    config.write_text(config.read_text().replace("remote = storage", "remote = elsewhere"))
    for words in (["add", ".dvc/config"], ["commit", "--quiet", "-m", "storage"]):
        identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
        subprocess.run(["git", *identity, *words], cwd=folder, check=True)
    handler = type("PlantedGit", (Git,), {"root": folder.parent})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/speech.git"
        server.shutdown()


def test_a_private_repository_is_read_with_what_the_secret_holds(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare_params
) -> None:
    # As in a step: HOME is a folder of its own, and the secret lies where git looks below it.
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_ASKPASS", "SSH_ASKPASS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")
    with pytest.raises(RevisionError, match="credentials of git"):
        version.versioned(address, prepare_params, tmp_path / "unused")

    mounted = tmp_path / "home" / ".config" / "git"
    mounted.mkdir(parents=True)
    # The very words of docs/day-two.md.
    (mounted / "config").write_text("[credential]\n\thelper = store\n")
    (mounted / "credentials").write_text(address.replace("//", "//reader:s3cret@").rpartition("/")[0] + "\n")
    found = version.versioned(address, prepare_params, tmp_path / "unused")
    assert found.origin == "published"
    assert found.revision.repo == address, "no password in what the run shows"
    version.pull(found.revision.repo, found.revision.revision, tmp_path / "pulled")
    assert (tmp_path / "pulled" / "corpus.json").is_file()
