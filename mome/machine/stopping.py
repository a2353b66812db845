"""What a step says last when it is told to stop: its log would end with the shell's "Terminated"."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mome.errors import Stopped

__all__ = ["stoppable", "stopped"]

_AGAIN = "start the run again: steps that are done are not computed twice"


class _Stop(BaseException):
    """No Exception: whoever tries again after one would go on."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def stoppable(afterwards: str = _AGAIN) -> Iterator[None]:
    """Raise where the work stands when it is told to stop, so that the log ends with a reason.

    Args:
        afterwards: What becomes of the work.

    Raises:
        Stopped: If a signal asks to stop.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        raise _Stop(number)

    if threading.current_thread() is not threading.main_thread():
        yield  # signals are handled elsewhere
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except _Stop as error:
        raise stopped(error.number, afterwards) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def stopped(number: int, afterwards: str = _AGAIN) -> Stopped:
    """Return the error that names a signal and what becomes of the work."""
    name = signal.Signals(number).name
    return Stopped(f"was told to stop ({name}: pre-empted, out of time or cancelled); {afterwards}")
