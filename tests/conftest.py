"""What has to be imported before anything else is; and several processes that share the tests."""

import os
from pathlib import Path

import pytest

# Triton asks when it is imported, which torch does: whether to interpret its kernels, for there is no GPU.
os.environ["TRITON_INTERPRET"] = "1"

# For every task of a pipeline kfp asks `inspect` who calls, which looks through all loaded modules
# for each frame: behind torch and transformers the pipelines take a minute to come, here two seconds.
import pipelines.monitoring
import pipelines.training  # noqa: F401
from mome.machine.processor import available_cores

ROOT = Path(__file__).parents[1]
# A minute and more each: begun last, one process would be busy with it when the others have nothing left.
LONG = (
    "tests/pipelines/test_local_loop.py",
    "tests/pipelines/test_manual.py",
    "tests/mome/training/test_lips.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Share out the cores among processes of tests: threads that wait for each other's lose both."""
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        share = available_cores() // worker["workercount"]
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest."""
    items.sort(key=lambda item: item.path.relative_to(ROOT).as_posix() not in LONG)
