"""Recordings are decoded in processes of their own, with limits of memory and time.

Libraries that decode what strangers send crash, hang and ask for gigabytes now and then. Here that
costs one process, which is replaced, and the caller reads that the recording cannot be decoded. A process
that somebody killed says nothing of its recording: the caller is asked to send it again.

A long recording comes in parts, and its process waits until the next part is wanted. That process is its
own until the last part; whoever finds none left meanwhile has another one started, which takes as long as to
decode minutes of sound.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import TypeAlias

import anyio
import anyio.to_thread

from serving.child_process import start_child
from serving.decode import Decoded, Upload
from serving.decoding_process import COMMAND, Broken
from serving.errors import ApiError
from serving.pictures import Mouths, Pictures

__all__ = ["Decoders"]

_log = logging.getLogger(__name__)
_LONG = 16
_START_S = 60.0  # most of it is importing
_AGAIN_S = 1  # others decode meanwhile
_DAMAGED = "the recording cannot be decoded: it is damaged, or of a kind that is not read"


class Decoders:
    """A fixed number of decoding processes.

    Args:
        count: Recordings that are decoded at a time, beside long ones.
        memory_bytes: That decoding one recording may take.
        timeout_s: That decoding one recording, or one part of a long one, may take.
    """

    def __init__(self, count: int, *, memory_bytes: int, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._count = count
        self._turns = anyio.CapacityLimiter(count)
        # One that was left ends a moment later; long recordings have processes beside those counted.
        self._threads = anyio.CapacityLimiter(2 * count + _LONG)
        self._idle = [self._new() for _ in range(count)]

    async def decode(self, upload: Upload, request_id: str) -> AsyncGenerator[Decoded, None]:
        """Decode one recording as soon as a process is free.

        Args:
            upload: With its limits.
            request_id: For the log.

        Yields:
            Its parts; whoever wants no more closes the generator.

        Raises:
            ApiError: As `serving.decode.decode`, and if its decoder failed, crashed or took too long; with
                status 503 if it was killed, or none was ready in time.
        """
        part, own = await self._first(upload, request_id)
        assert isinstance(part, Decoded)
        try:
            yield part
            while not part.ended:
                assert own is not None
                more = self._judged(await self._in_thread(own.more), request_id)
                assert isinstance(more, Decoded)
                part = more
                yield part
        finally:
            if own is not None:
                if part.ended and not own.ended and len(self._idle) < self._count:
                    self._idle.insert(0, own)
                else:
                    own.end()

    async def look(self, pictures: Pictures, request_id: str) -> Mouths:
        """Find the mouth in pictures, likewise.

        Raises:
            ApiError: As `serving.pictures.look`, and as `decode`.
        """
        mouths, _ = await self._first(pictures, request_id)
        assert isinstance(mouths, Mouths)
        return mouths

    async def _first(
        self, upload: Upload | Pictures, request_id: str
    ) -> tuple[Decoded | Mouths, _Process | None]:
        """Return the first answer, and the process that has the others if there are any."""
        async with self._turns:
            process = self._idle.pop() if self._idle else self._new()
            own = None
            if process.ended:  # while it had nothing to do: that is no fault of this recording
                process = self._new()
            try:
                answer = await self._in_thread(process.ask, upload)
                if isinstance(answer, Broken) and answer.error == "MemoryError":
                    process.end()  # what it holds on to would be missing for the next recording
                if isinstance(answer, Decoded) and not answer.ended:
                    own = process
            except anyio.get_cancelled_exc_class():
                process.end()  # nobody waits for what it does
                raise
            finally:
                # A new one starts while the others work: the next caller takes one that is ready.
                if process.ended:
                    self._idle.insert(0, self._new())
                elif own is None:
                    self._idle.append(process)
        return self._judged(answer, request_id), own

    async def _in_thread(self, ask: Callable[..., _Answer], *arguments: object) -> _Answer:
        return await anyio.to_thread.run_sync(ask, *arguments, abandon_on_cancel=True, limiter=self._threads)

    def close(self) -> None:
        """End the processes."""
        for process in self._idle:
            process.end()

    def _new(self) -> _Process:
        return _Process(self._memory_bytes, self.timeout_s)

    def _judged(self, answer: _Answer, request_id: str) -> Decoded | Mouths:
        match answer:
            case Decoded() | Mouths():
                return answer
            case ApiError():
                raise answer
            case Broken("MemoryError"):
                raise ApiError(
                    f"decoding takes more than {self._memory_bytes / 1e6:g} MB; "
                    "send a shorter or smaller recording",
                    param="file",
                    code="decode_memory",
                )
            case Broken():
                _log.warning("request %s: a decoder raised %s at %s", request_id, answer.error, answer.place)
            case _Lost(None):
                _log.warning("request %s: decoding took longer than %g s", request_id, self.timeout_s)
                raise ApiError(
                    f"decoding took longer than {self.timeout_s:g} s; send a shorter or smaller recording",
                    param="file",
                    code="decode_timeout",
                )
            case _Lost(status) if status == -signal.SIGKILL:  # no decoder kills itself
                _log.warning("request %s: its decoder was killed", request_id)
                raise ApiError(
                    "the process that decoded this recording was killed; send it again",
                    status=503,
                    code="worker_lost",
                    headers={"Retry-After": str(_AGAIN_S)},
                )
            case _Late():
                _log.warning("request %s: no decoder was ready within %g s", request_id, _START_S)
                raise ApiError(
                    f"no decoding process was ready within {_START_S:g} s; send the recording again",
                    status=503,
                    code="decoder_late",
                    headers={"Retry-After": str(_AGAIN_S)},
                )
            case _Lost():
                _log.warning("request %s: a decoder ended with status %s", request_id, answer.status)
        raise ApiError(_DAMAGED, param="file", code="undecodable_media")


class _Lost:
    """A process that did not answer: its exit status, or None if it was ended for taking too long."""

    __match_args__ = ("status",)

    def __init__(self, status: int | None) -> None:
        self.status = status


class _Late:
    """A process that had not started in time: the machine has much else to do. It may still become ready."""


class _Process:
    """One process, which starts at once and is ready when the first recording comes."""

    def __init__(self, memory_bytes: int, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._ready = False
        self._connection, theirs = Pipe()
        self._process = start_child(COMMAND, theirs.fileno(), memory_bytes, int(timeout_s) + 1)
        theirs.close()
        # Whoever forgets to close leaves no process behind: it ends at the end of its connection.
        weakref.finalize(self, _end, self._process, self._connection)

    @property
    def ended(self) -> bool:
        """Whether it answers no more."""
        return self._process.poll() is not None

    def ask(self, upload: Upload | Pictures) -> _Answer:
        """Return the first answer; afterwards the process has ended if there was none."""
        try:
            if not self._is_ready():
                return _Late()
            self._connection.send(upload)
        except (EOFError, OSError):  # it died, or was ended from elsewhere
            self.end()
            return _Lost(self._process.wait())
        return self.more()

    def more(self) -> _Answer:
        """Return the next answer to the same question; likewise."""
        try:
            if not self._connection.poll(self._timeout_s):
                self.end()
                return _Lost(None)
            answer: Decoded | Mouths | ApiError | Broken = self._connection.recv()
            return answer
        except (EOFError, OSError):
            self.end()
            return _Lost(self._process.wait())

    def end(self) -> None:
        """End it now."""
        self._process.kill()
        self._process.wait()

    def _is_ready(self) -> bool:
        if not self._ready and self._connection.poll(_START_S):
            self._connection.recv()
            self._ready = True
        return self._ready


_Answer: TypeAlias = Decoded | Mouths | ApiError | Broken | _Late | _Lost


def _end(process: subprocess.Popen[bytes], connection: Connection) -> None:
    connection.close()
    process.kill()
    threading.Thread(target=process.wait, daemon=True).start()
