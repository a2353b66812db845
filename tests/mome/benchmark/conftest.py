"""Options of a run with tiny sizes."""

from pathlib import Path

import pytest

from mome.benchmark.options import MOME, Options
from mome.config import load_params


@pytest.fixture(scope="session")
def options() -> Options:
    params = load_params(Path("params.yaml"))
    return Options(
        device="cpu",
        repetitions=2,
        layers=2,
        quick=True,
        train=params.train.model_copy(update=MOME),
        evaluate=params.evaluate,
    )
