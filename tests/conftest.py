"""What has to be imported before anything else is, and which cores a process of tests may use."""

import os

import pytest

# For every task of a pipeline kfp asks `inspect` who calls, which looks through all loaded modules
# for each frame: behind torch and transformers the pipelines take a minute to come, here two seconds.
import pipelines.monitoring
import pipelines.training  # noqa: F401


def pytest_configure(config: pytest.Config) -> None:
    """Give every process of tests cores of its own: threads that wait for each other's cores lose both."""
    worker = getattr(config, "workerinput", None)
    if worker is None or not hasattr(os, "sched_setaffinity"):  # macOS has none
        return
    number, count = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
    if own := sorted(os.sched_getaffinity(0))[number::count]:
        os.sched_setaffinity(0, own)
