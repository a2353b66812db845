"""A server that knows nothing yet, and an environment that says nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipelines.planted_server import Server, serving
from tests.pipelines.submit.submission import PASSED, cached, read


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("KF_PIPELINES", "MOME_", "ACTIONS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KF_PIPELINES_TOKEN", "right")
    # Compiled and read once; what differs between the tests is the run.
    monkeypatch.setattr("pipelines.submit.plan.load_package", cached)
    monkeypatch.setattr("pipelines.submit.plan.load_params", read)
    monkeypatch.setattr("pipelines.submit.arguments.load_params", read)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server(story=PASSED)) as planted:
        yield planted
