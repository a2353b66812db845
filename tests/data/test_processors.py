"""A container counts the processors that it was given, not those of its machine."""

import os
from pathlib import Path

import pytest

from data.processors import available_processors


@pytest.mark.parametrize(
    ("limit", "count"),
    [("400000 100000\n", 4), ("150000 100000\n", 1), ("50000 100000\n", 1), ("max 100000\n", 64)],
)
def test_a_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, count: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    (tmp_path / "cpu.max").write_text(limit)
    assert available_processors(tmp_path) == count


def test_a_limit_above_the_machine_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    (tmp_path / "cpu.max").write_text("800000 100000")
    assert available_processors(tmp_path) == 2


def test_without_a_container_all_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert available_processors(tmp_path) == 8
