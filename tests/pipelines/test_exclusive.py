"""Two runs never share a state folder, and a killed run leaves no process in it."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from mome.errors import MomeError
from pipelines.exclusive import MARK, exclusive


def sleeper(mark: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {MARK: mark}
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=environment)


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with exclusive(tmp_path), pytest.raises(MomeError, match="another run is at work"), exclusive(tmp_path):
        pass
    with exclusive(tmp_path):
        pass


def test_what_a_killed_run_left_at_work_is_ended_and_nothing_else(tmp_path: Path) -> None:
    left, foreign = sleeper(str(tmp_path.resolve())), sleeper("somewhere else")
    try:
        with exclusive(tmp_path):
            assert not psutil.pid_exists(left.pid)
            assert foreign.poll() is None
    finally:
        for process in (left, foreign):
            process.kill()
            process.wait()


def test_what_the_run_itself_started_ends_with_it(tmp_path: Path) -> None:
    with exclusive(tmp_path):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert not psutil.pid_exists(child.pid)
    child.wait()
    assert MARK not in os.environ
