"""Fixtures: the routes with a planted model behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from mome.bundle import write_bundle
from mome.records import Decoding, Evaluation, Modality, Promise, WerCalibration
from mome.scales import Scale
from serving.decoders import Decoders
from serving.engine import Engine
from serving.job_runner import JobRunner
from serving.job_store import JobStore
from serving.metrics import Metrics
from serving.routes import create_app
from serving.settings import Settings
from tests.serving.planted import GREEDY, PlantedRecogniser, Served, write_parts


@pytest.fixture(scope="session")
def decoders() -> Iterator[Decoders]:
    """Two decoding processes for all tests."""
    made = Decoders(2, memory_bytes=2_000_000_000, timeout_s=20.0)
    yield made
    made.close()


@pytest.fixture
def serve(tmp_path: Path, decoders: Decoders) -> Iterator[Callable[..., Served]]:
    """Start the routes, with other settings or another modality than the defaults."""
    with ExitStack() as clients:

        def start(
            modality: Modality = "av",
            timed: bool = True,
            judged: Decoding | None = GREEDY,
            calibration: WerCalibration | None = None,
            evaluated: Evaluation | None = None,
            promise: Promise | None = None,
            **settings: Any,
        ) -> Served:
            parts = write_parts(
                tmp_path / "parts",
                modality=modality,
                judged=judged,
                calibration=calibration,
                evaluated=evaluated,
            )
            bundle = write_bundle(
                name="mome",
                default_scale=Scale(16, 5),
                output=tmp_path / "bundle",
                promise=promise,
                **parts,
            )
            recogniser, registry = PlantedRecogniser(), CollectorRegistry()
            recogniser.timed = recogniser.timed if timed else ()
            given = replace(Settings(), **settings)
            engine = Engine(bundle, recogniser, decoders, given, Metrics(registry))
            clients.callback(engine.close)
            store = None
            if given.jobs is not None:
                store = JobStore(given.jobs, max_jobs=10, max_bytes=100_000_000, kept_h=given.jobs_kept_h)
            jobs = None if store is None else JobRunner(engine, store)
            app = create_app(lambda: engine, lambda: jobs)
            client = clients.enter_context(TestClient(app, raise_server_exceptions=False))
            if jobs is not None:
                assert client.portal is not None
                running = client.portal.start_task_soon(jobs.run)
                clients.callback(running.result, 30)
                clients.callback(client.portal.call, jobs.wake)
                clients.callback(setattr, engine.admission, "draining", True)
            return Served(client, engine, recogniser, registry)

        yield start


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    """The routes with their defaults."""
    return serve()
