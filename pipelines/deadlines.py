"""When a run ends that only waits: for a claim that is never bound, or for a GPU that never comes free.

A step's own deadline begins when a node takes it, so a step that waits for one has none. The run's ends it,
and with it the turn of those that wait behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mome.errors import ConfigError

__all__ = ["end_after", "longest_s"]


def end_after(seconds: int, spec: Mapping[str, Any], platform: dict[str, Any]) -> None:
    """Give a compiled pipeline a deadline.

    Args:
        seconds: From its start on.
        spec: Its first document: the steps.
        platform: Its second one: what only Kubernetes reads; the deadline is written there.

    Raises:
        ConfigError: If its steps, each once and with all of its time, do not fit in.
    """
    needed = longest_s(spec, platform)
    if needed > seconds:
        raise ConfigError(
            f"run_timeout_s: {spec['pipelineInfo']['name']} is ended after {seconds} s, but the timeouts of "
            f"its steps add up to {needed} s: raise the one or lower some of the others"
        )
    platform["platforms"]["kubernetes"]["pipelineConfig"] = {"activeDeadlineSeconds": seconds}


def longest_s(spec: Mapping[str, Any], platform: Mapping[str, Any]) -> int:
    """Return the sum of the steps' deadlines in seconds: one after the other, every step once."""
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return sum(
        int(settings[executor]["activeDeadlineSeconds"]) for executor in _executors(spec, spec["root"])
    )


def _executors(spec: Mapping[str, Any], graph: Mapping[str, Any]) -> Iterator[str]:
    """Yield the executor of every task, those of loops and conditions too."""
    for task in graph["dag"]["tasks"].values():
        component = spec["components"][task["componentRef"]["name"]]
        if "dag" in component:
            yield from _executors(spec, component)
        else:
            yield component["executorLabel"]
