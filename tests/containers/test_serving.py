"""The serving image as a server: a bundle mounted, a clip posted, a transcript back."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import docker
import httpx
import pytest

from components.images import image
from components.rehearse.playlist import files
from mome.speech.shards import read_split
from pipelines.containers import RIGHTS

ADDRESS = "http://127.0.0.1:3000"  # the image's own port; the machine's network, so that we reach it


@pytest.fixture(scope="module")
def server(client: docker.DockerClient, trained: Path) -> Iterator[httpx.Client]:
    bundle = trained / "package" / "packaged" / "bundle"
    container = client.containers.create(
        image("serve"),
        volumes={str(bundle): {"bind": "/opt/mome/bundle", "mode": "ro"}},
        environment={"MOME_THREADS": "1"},
        **(RIGHTS | {"network_mode": "host"}),
    )
    try:
        container.start()
        with httpx.Client(base_url=ADDRESS, trust_env=False, timeout=60.0) as http:
            deadline = time.monotonic() + 120
            while True:
                with suppress(httpx.HTTPError):
                    if http.get("/readyz").status_code == httpx.codes.OK:
                        break
                container.reload()
                assert container.status == "running", container.logs().decode()
                assert time.monotonic() < deadline, container.logs().decode()
                time.sleep(0.2)
            yield http
    finally:
        container.remove(force=True)


def test_a_posted_clip_is_transcribed(server: httpx.Client, trained: Path) -> None:
    _, clip = next(iter(read_split(trained / "prepare" / "dataset", "test")))
    reply = server.post(
        "/v1/audio/transcriptions", files=files(clip), data={"response_format": "verbose_json"}
    )
    assert reply.status_code == httpx.codes.OK, reply.text
    found = reply.json()
    assert isinstance(found["text"], str)
    assert found["x_mome"]["scale"] == server.get("/v1/scale").json()["scale"]


def test_what_is_no_recording_is_refused(server: httpx.Client) -> None:
    reply = server.post("/v1/audio/transcriptions", files={"file": ("clip.wav", b"no sound", "audio/wav")})
    assert 400 <= reply.status_code < 500
    assert reply.json()["error"]["message"]
