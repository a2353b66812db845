"""The graphs of a compiled pipeline: the outermost one, groups and loops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["graphs"]


def graphs(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the tasks of every graph, by their names in it; they can be changed in place."""
    parts = (spec["root"], *spec.get("components", {}).values())
    return [part["dag"]["tasks"] for part in parts if "dag" in part]
