"""What a hub refuses is said in one line that ends with what to do; asked over HTTP, as the hub answers."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ANSWERS = {
    "gated": (401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to model is restricted."}),
    "hidden": (401, {"X-Error-Code": "RepoNotFound"}),
    "stranger": (401, {"X-Error-Message": "Invalid username or password."}),
    "older": (404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id: 1f2e"}),
}


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers = ANSWERS[self.path.split("/")[2]]
            self.send_response(status)
            for name, value in (headers | {"Content-Length": "0"}).items():
                self.send_header(name, value)
            self.end_headers()

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def refused(hub: str, folder: Path, names: list[str], offline: str) -> list[str]:
    """Return what taking each model ends with; a process of its own, for the address is read once."""
    code = (
        "import sys; from pathlib import Path; from mome.foundation.pretrained import take_llm\n"
        "for name in sys.argv[1:]:\n"
        "    try: take_llm(f'org/{name}@1f2e', Path('llm'), 0)\n"
        "    except Exception as error: print(f'{type(error).__name__}: {error}')\n"
    )
    environment = {"HF_ENDPOINT": hub, "HF_HUB_OFFLINE": offline, "HF_HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", code, *names],
        env={"PYTHONPATH": str(Path.cwd())} | os.environ | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_what_a_hub_refuses_ends_with_what_to_do(hub: str, tmp_path: Path) -> None:
    gated, hidden, stranger, older = refused(hub, tmp_path, list(ANSWERS), "0")
    for line in (gated, hidden, stranger, older):
        assert line.startswith("CheckpointError: org/")
    assert gated.endswith(
        "only who asked on the page of the model gets it; ask, then give the step a token that may read it: "
        "on a cluster as HF_TOKEN out of secret mome-hub"
    )
    assert "correct the name; if the model is not public, give the step a token" in hidden
    assert "does not accept who asks (401); give the step a token" in stranger
    assert older.endswith("correct the revision, behind the @")


def test_without_downloads_it_is_said_how_to_have_them(hub: str, tmp_path: Path) -> None:
    (line,) = refused(hub, tmp_path, ["gated"], "1")
    assert line.endswith(
        'downloads are switched off; set HF_HUB_OFFLINE: "0" for step build_foundation in the cluster file, '
        "or name a folder instead"
    )
