"""Requests that wait are read together, whatever their scales and modalities.

One thread has the model. It takes what waits, reads it, and gives each text to its caller as soon as
that text has ended; what comes meanwhile waits for the next batch. A caller who is alone waits for nobody.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from mome.errors import MediaError
from mome.reading import Listener, Reading, Standing, Text

__all__ = ["Batcher", "Job"]

_log = logging.getLogger(__name__)
_LINGER_S = 0.004  # for those whose recordings are about to be decoded; a text takes ten times as long


class _Model(Protocol):
    def read(self, readings: Sequence[Reading], listeners: Sequence[Listener]) -> None:
        """As `mome.inference.Transcriber.read`."""


class Job:
    """One reading that waits, and who waits for it; made and awaited in the event loop.

    Args:
        reading: What to read.
        live: Whether the text is wanted while it is written.
        began: Called in the event loop when the model takes it.
        of: Whom it belongs to, where others belong to the same: they take turns with everybody else's.
    """

    def __init__(
        self, reading: Reading, *, live: bool, began: Callable[[], None], of: object | None = None
    ) -> None:
        self.reading = reading
        self.live = live
        self.gone = False
        self.over = False  # told its end: a text or an error
        self.of = self if of is None else of
        self._began = began
        self._loop = asyncio.get_running_loop()
        self._news: asyncio.Queue[Standing | Text | Exception] = asyncio.Queue()
        self._told = 0  # characters of the text

    @property
    def duration_s(self) -> float:
        """Length of what is to be read."""
        return self.reading.clip.duration_s

    async def text(self) -> Text:
        """Return the whole text.

        Raises:
            Exception: What the model raised.
        """
        while not isinstance(news := await self.news(), Text):
            pass
        return news

    async def news(self) -> Standing | Text:
        """Return the text so far when there is more of it, and at last the whole text.

        Raises:
            Exception: What the model raised.
        """
        news = await self._news.get()
        if isinstance(news, Exception):
            raise news
        return news

    def leave(self) -> None:
        """Wait no more; the text is left where it is."""
        self.gone = True

    def begin(self) -> None:
        """Say that the model has it."""
        self._call(self._began)

    def wrote(self, standing: Standing) -> None:
        """Pass on the text so far."""
        # A batch that failed is read again, one by one: what was said is not said twice.
        if len(standing.text) > self._told:
            self._told = len(standing.text)
            self._call(self._news.put_nowait, standing)

    def ended(self, text: Text) -> None:
        """Pass on the whole text."""
        self.over = True
        self._call(self._news.put_nowait, text)

    def failed(self, error: Exception) -> None:
        """Pass on why there is no text."""
        self.over = True
        self._call(self._news.put_nowait, error)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop has closed: nobody waits
            self.gone = True


class Batcher:
    """The thread that has the model, and the queue before it.

    Args:
        model: Reads batches.
        max_jobs: Most jobs of a batch.
        max_batch_s: Most seconds of a batch, all padded to its longest.
        coming: How many jobs are about to be put into the queue.
        taken: Called with the size of each batch.
    """

    def __init__(
        self,
        model: _Model,
        *,
        max_jobs: int,
        max_batch_s: float,
        coming: Callable[[], int],
        taken: Callable[[int], None],
    ) -> None:
        self._model = model
        self._max_jobs = max_jobs
        self._max_batch_s = max_batch_s
        self._coming = coming
        self._taken = taken
        self._queue: list[Job] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    def put(self, job: Job) -> None:
        """Let a job wait for the model."""
        with self._changed:
            self._queue.append(job)
            self._changed.notify()

    def close(self) -> None:
        """End the thread after the batch that it reads."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            if batch:
                self._taken(len(batch))
                for job in batch:
                    job.begin()
                self._read(batch)

    def _next(self) -> list[Job] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            if self._closed:
                return None
            until = time.monotonic() + _LINGER_S
            while (
                len(self._queue) < self._max_jobs
                and self._coming() > 0
                and (left := until - time.monotonic()) > 0
            ):
                self._changed.wait(left)
            waiting = [job for job in self._queue if not job.gone]
            batch = fitting(alike(in_turn(waiting)), self._max_jobs, self._max_batch_s)
            self._queue = [job for job in waiting if job not in batch]
            return batch

    def _read(self, batch: Sequence[Job]) -> None:
        try:
            self._model.read([job.reading for job in batch], batch)
        except Exception as error:  # noqa: BLE001 - the thread outlives it, and passes it on
            left = [job for job in batch if not (job.over or job.gone)]
            if len(batch) == 1:
                for job in left:
                    job.failed(error)
                return
            # One of them, or all of them together, were too much for the model: nobody fails for another.
            if not isinstance(error, MediaError):
                what = type(error).__name__
                _log.warning("a batch of %d failed (%s); reading each alone", len(batch), what)
            for job in left:
                self._read([job])


def in_turn(waiting: Sequence[Job]) -> list[Job]:
    """Return the first job of each request as they came, then the second of each, and so on.

    Nobody waits for all the pieces of a long recording.
    """
    seen: Counter[object] = Counter()
    turns = []
    for job in waiting:
        turns.append(seen[job.of])
        seen[job.of] += 1
    return [job for _, job in sorted(zip(turns, waiting, strict=True), key=lambda pair: pair[0])]


def alike(waiting: Sequence[Job]) -> list[Job]:
    """Let pieces of long recordings change places, so that the next are about as long as the first job.

    A batch is padded to its longest. The first stays where it is, so that nobody waits for ever, and so does
    whoever waits for nothing else.
    """
    if not waiting:
        return []
    first, *others = waiting
    pieces_of = Counter(job.of for job in waiting)
    pieces = [job for job in others if pieces_of[job.of] > 1]
    nearest = iter(sorted(pieces, key=lambda job: abs(job.duration_s - first.duration_s)))
    return [first, *(next(nearest) if pieces_of[job.of] > 1 else job for job in others)]


def fitting(waiting: Sequence[Job], max_jobs: int, max_batch_s: float) -> list[Job]:
    """Return the first job and those after it that fit beside it, in the order in which they came.

    A batch is padded to its longest, so a long recording leaves room for few. The first is always
    taken, however long it is: nobody waits for ever.
    """
    batch: list[Job] = []
    longest_s = 0.0
    for job in waiting:
        longer_s = max(longest_s, job.duration_s)
        if not batch or longer_s * (len(batch) + 1) <= max_batch_s:
            batch.append(job)
            longest_s = longer_s
        if len(batch) == max_jobs:
            break
    return batch
