"""Workers and controllers of a real loop are killed; only the model is planted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mome.bundle import Bundle
from pipelines.loop.faults import changing_noise, inject
from serving.benchmark.server import REPOSITORY

ASKED_FOR = pytest.mark.skipif(os.environ.get("MOME_FAULTS") != "1", reason="two minutes; MOME_FAULTS=1 asks")
LOCKS = pytest.mark.skipif(not Path("/proc/locks").exists(), reason="who holds a lock is not told here")


@ASKED_FOR
@LOCKS
def test_a_loop_whose_processes_are_killed_loses_and_tears_nothing(
    bundle: Bundle, code: Path, tmp_path: Path
) -> None:
    rows = inject(
        bundle.path,
        REPOSITORY / "params.yaml",
        tmp_path,
        changing_noise(60),
        seconds=80,
        per_s=6,
        every_s=12,
        seed=3,
        code=code,
    )

    assert [row for row in rows if row.kept is False] == []
    found = {row.what: row.found for row in rows}
    assert int(found["workers killed"]) > 0
    assert int(found["switches on record"]) > 0
