"""What has to be imported before anything else is; and several processes that share the tests."""

import os
from pathlib import Path

import pytest

# For every task of a pipeline kfp asks `inspect` who calls, which looks through all loaded modules
# for each frame: behind torch and transformers the pipelines take a minute to come, here two seconds.
import pipelines.monitoring
import pipelines.training  # noqa: F401

ROOT = Path(__file__).parents[1]
# A minute and more each: begun last, one process would be busy with it when the others have nothing left.
LONG = (
    "tests/pipelines/test_local_loop.py",
    "tests/pipelines/test_manual.py",
    "tests/mome/training/test_lips.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Give every process of tests cores of its own: threads that wait for each other's cores lose both."""
    worker = getattr(config, "workerinput", None)
    if worker is None or not hasattr(os, "sched_setaffinity"):  # macOS has none
        return
    number, count = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
    if own := sorted(os.sched_getaffinity(0))[number::count]:
        os.sched_setaffinity(0, own)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest."""
    items.sort(key=lambda item: item.path.relative_to(ROOT).as_posix() not in LONG)
