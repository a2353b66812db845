"""The door: it refuses what the routes would refuse, in the same words, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from serving.door import Door
from serving.keys import Key
from serving.routes import create_app
from tests.serving.planted import Served, syllables, wav

PATH = "/v1/audio/transcriptions"
FILES = {"file": ("a.wav", wav(syllables()))}


class Behind:
    """The service, and how many requests came as far as it."""

    def __init__(self, served: Served) -> None:
        self.count = 0
        self._app = Starlette(routes=[Mount("/v1", create_app(lambda: served.engine, lambda: None))])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.count += scope["type"] == "http"
        await self._app(scope, receive, send)


@pytest.fixture
def behind(served: Served) -> Iterator[tuple[TestClient, Behind, Served]]:
    behind = Behind(served)
    with TestClient(Door(behind, served.engine), raise_server_exceptions=False) as client:
        yield client, behind, served


def test_a_full_worker_refuses_at_the_door_as_the_routes_would(
    behind: tuple[TestClient, Behind, Served],
) -> None:
    client, inside, served = behind
    with served.engine.admission.place(64_000) as place:
        place.decoded(300.0)
        at_the_door = client.post(PATH, files=FILES)
        assert inside.count == 0
        from_a_page = client.post(PATH, files=FILES, headers={"Origin": "https://app.example"})
        assert inside.count == 1
        assert client.get("/v1/models").status_code == 200

    assert (at_the_door.status_code, from_a_page.status_code) == (429, 429)
    assert at_the_door.json() == from_a_page.json()
    assert at_the_door.headers.keys() == from_a_page.headers.keys()
    labels = {"code": "rate_limit_exceeded"}
    assert served.registry.get_sample_value("mome_refused_requests_total", labels) == 2
    assert client.post(PATH, files=FILES).json() == {"text": "audio at a16v5"}
    served.engine.admission.draining = True
    ended = client.post(PATH, files=FILES)
    assert (ended.status_code, ended.headers["Connection"], inside.count) == (503, "close", 3)


def test_a_wrong_key_learns_nothing_of_the_load(behind: tuple[TestClient, Behind, Served]) -> None:
    client, inside, served = behind
    served.engine.quotas = type(served.engine.quotas)([Key("sesame", "trial")], served.engine.metrics)
    with served.engine.admission.place(64_000) as place:
        place.decoded(300.0)
        assert client.post(PATH, files=FILES).status_code == 401
        assert inside.count == 1
        headers = {"Authorization": "Bearer sesame"}
        assert client.post(PATH, files=FILES, headers=headers).status_code == 429
        assert inside.count == 1
