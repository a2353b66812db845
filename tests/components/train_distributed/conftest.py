"""A dataset to train on, and a cluster to train on it with."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mome.conftest import dataset, foundation, train_params

with warnings.catch_warnings():
    # The SDK configures one of its classes as pydantic will no longer have it.
    warnings.filterwarnings("ignore", "Support for class-based `config`", DeprecationWarning)
    from tests.components.train_distributed.planted import Cluster, serve

__all__ = ["dataset", "foundation", "train_params"]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cluster]:
    """A planted cluster, on which the step finds itself; it is looked at often."""
    planted = Cluster()
    planted.folder = tmp_path
    monkeypatch.setattr("components.train_distributed.follow.POLL_S", 0.05)
    monkeypatch.setattr("components.train_distributed.job.POLL_S", 0.05)
    with serve(planted) as client:
        monkeypatch.setattr("components.train_distributed.job.TrainerClient", lambda: client)
        yield planted
