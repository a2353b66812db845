"""What ends a training that should not have ended, said so that a person knows which setting to change."""

from __future__ import annotations

import errno
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from mome import errors
from mome.config import TrainParams
from mome.errors import MomeError, TrainingError
from mome.machine.devices import is_out_of_memory
from mome.machine.stopping import stopped

__all__ = ["RESUME", "explained", "is_consequence", "root_cause", "smaller"]

RESUME = "started again with the same settings, it goes on from its last checkpoint"

_NO_SHARED_MEMORY = re.compile(r"shared memory|torch_shm_manager", re.IGNORECASE)
_MORE_SHARED_MEMORY = "shared memory ran out: give the step a larger shm"
# What a process says whose peer is gone, by gloo, NCCL and the store they meet at.
_PEER_GONE = re.compile(
    r"connection (closed|reset) by|broken pipe|remote process (has )?(exited|died)|connection refused|"
    r"communicator was aborted|failed to recv|timed out|timeout",
    re.IGNORECASE,
)
_LOST = "lost the connection to another process"


def smaller(params: TrainParams) -> str:
    """Return which settings make a training need less memory, as a clause."""
    batch = (
        f"lower train.batch_frames (now {params.batch_frames})"
        if params.batch_frames
        else f"lower train.batch_size (now {params.batch_size})"
    )
    if not params.gradient_checkpointing:
        return f"{batch} or set train.gradient_checkpointing: true"
    if params.sharding == "none":
        return f"{batch} or set train.sharding: full on several GPUs"
    return f"{batch} or use more GPUs"


@contextmanager
def explained(params: TrainParams) -> Iterator[None]:
    """Turn what the machine raises during a training into an error that says what to do.

    Raises:
        TrainingError: If memory, shared memory or disk ran out, or another process is gone.
    """
    try:
        yield
    except MomeError:
        raise
    except MemoryError as error:
        raise TrainingError(f"out of memory: {smaller(params)}") from error
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        what = error.filename or "what was to be written"
        raise TrainingError(f"no space left for {what}: a larger volume is needed") from error
    except RuntimeError as error:
        if (explanation := _explanation(error, params)) is None:
            raise
        raise TrainingError(explanation) from error


def root_cause(error: ChildFailedError, params: TrainParams) -> Exception:
    """Return why processes that torchrun started ended: the failure that the others followed from."""
    failure = min(error.failures.values(), key=_blame)
    who = f"process {failure.local_rank}"
    if failure.exitcode < 0:
        name = failure.signal_name()
        if -failure.exitcode == signal.SIGBUS:
            return TrainingError(f"{who} was ended by {name}: {_MORE_SHARED_MEMORY}")
        if -failure.exitcode in (signal.SIGTERM, signal.SIGINT):
            return stopped(-failure.exitcode, RESUME)
        return TrainingError(
            f"{who} was ended by {name}, as by a system short of memory: raise the memory limit of the step, "
            f"or {smaller(params)}; {RESUME}"
        )
    kind, _, message = _said(failure).partition(": ")
    if kind in errors.__all__:
        known: Exception = getattr(errors, kind)(message)
        return known
    return RuntimeError(f"{who} ended with {_said(failure)}")


def is_consequence(message: str) -> bool:
    """Return whether a process only ended because another one had."""
    return _LOST in message or _PEER_GONE.search(message) is not None


def _blame(failure: ProcessFailure) -> int:
    """Order failures of one training: the fewer, the nearer to the cause.

    Those that lost a peer, and those that the launcher ended because of it, only follow.
    """
    if -failure.exitcode == signal.SIGTERM:
        return 4
    if failure.exitcode < 0:
        return 1
    kind, _, message = _said(failure).partition(": ")
    if is_consequence(message):
        return 3
    return 0 if kind in errors.__all__ else 2


def _said(failure: ProcessFailure) -> str:
    """Return ``Kind: message`` of the exception that ended a process."""
    said: Any = failure.message  # a dictionary if the process wrote why it ended
    return str(said["message"]) if isinstance(said, dict) else str(said)


def _explanation(error: RuntimeError, params: TrainParams) -> str | None:
    message, first = str(error), _first_line(error)
    if _NO_SHARED_MEMORY.search(message):
        return f"{_MORE_SHARED_MEMORY} ({first})"
    if is_out_of_memory(error):
        return f"out of memory: {smaller(params)} ({first})"
    if _PEER_GONE.search(message):
        return f"{_LOST}, whose log says why; {RESUME} ({first})"
    return None


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
