"""A submission against the planted server, and the runs that it meets there."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from mome.config import load_params
from pipelines.submit.__main__ import main
from pipelines.submit.package import load_package
from tests.pipelines.planted_server import Server

ROOT = Path(__file__).parents[3]
cached, read = cache(load_package), cache(load_params)
PACKAGE = cached("training")
JUDGE = PACKAGE.judge("gate")
STEPS = list(PACKAGE.steps())
BEFORE = STEPS[: STEPS.index(JUDGE)]
DONE = dict.fromkeys(STEPS, "SUCCEEDED")
PASSED = [("PENDING", {}), ("RUNNING", {STEPS[0]: "RUNNING"}), ("SUCCEEDED", DONE)]
REJECTED = [("FAILED", dict.fromkeys(BEFORE, "SUCCEEDED") | {JUDGE: "FAILED"})]
BROKEN = [("FAILED", {"train": "FAILED"})]
LOG = """[KFP Executor 2026-11-20 12:00:00 INFO]: Got executor_input
Traceback (most recent call last):
  File "/app/mome/verdict.py", line 40, in require
    raise error(reason)
mome.errors.{}
"""


def submit(server: Server, tmp_path: Path, *more: str) -> tuple[int, dict, str]:
    """Run the command; return exit code, result and comment."""
    result, markdown = tmp_path / "result.json", tmp_path / "comment.md"
    quick = ["--host", server.address, "--poll", "0.01", "--retry-wait", "0.01"]
    if "--plan" not in more:
        quick += ["--version", "1.0.0+gabc"]
    code = main([*quick, "--result", str(result), "--markdown", str(markdown), *more])
    return code, json.loads(result.read_text()), markdown.read_text()
