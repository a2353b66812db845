"""Whoever is told to stop says so last, and leaves the machine as it was."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from mome.errors import Stopped
from mome.machine.stopping import stoppable


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)


def test_the_reason_and_what_becomes_of_the_work_are_said() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with (
        pytest.raises(
            Stopped, match=r"\(SIGTERM: pre-empted, out of time or cancelled\); start the run again"
        ),
        stoppable(),
    ):
        terminate()
    with pytest.raises(Stopped, match="it goes on"), stoppable("it goes on"):
        terminate()
    assert signal.getsignal(signal.SIGTERM) is before


def test_whoever_tries_again_after_an_error_does_not_go_on() -> None:
    tried = []

    def stubborn() -> None:
        for number in range(2):
            try:
                tried.append(number)
                terminate()
            except Exception:  # noqa: BLE001 - as libraries do
                continue

    with pytest.raises(Stopped), stoppable():
        stubborn()
    assert tried == [0]


def test_beside_the_main_thread_nothing_is_changed() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work() -> None:
        with stoppable():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.parametrize("module", ["stopping", "memory"])
def test_steps_without_torch_can_use_it(module: str) -> None:
    code = f"import mome.machine.{module}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
