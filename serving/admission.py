"""How much may wait: a bound on seconds of recordings, beyond which callers are told when to come again.

Seconds and not requests, because a recording of half a minute is as much work as thirty of one second.
What a body holds is known after decoding; before, it is estimated from its size, by what earlier
bodies of that size held.

A long recording is read beside the others, a piece now and a piece then, so nobody waits for its end and
its seconds do not count as such; only so many long ones are read at a time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from serving.errors import ApiError
from serving.metrics import Metrics

__all__ = ["Admission", "Place"]

_BYTES_PER_S = 32_000.0  # 16-bit sound at 16 kHz, until something was decoded
_LONGEST_WAIT_S = 30.0  # half of the time in which a request must be answered
_MEMORY = 0.9  # how much of an average stays when one more comes


class Admission:
    """Who is in, and who has to come again; used in one event loop.

    Args:
        max_waiting_s: Seconds of recordings that may wait.
        max_duration_s: Most seconds of one recording that wait at once.
        max_long: Long recordings that are read at a time.
        metrics: Where it is shown.
    """

    def __init__(self, max_waiting_s: float, max_duration_s: float, max_long: int, metrics: Metrics) -> None:
        self._max_waiting_s = max_waiting_s
        self._max_duration_s = max_duration_s
        self._max_long = max_long
        self._metrics = metrics
        self.bytes_per_s = _BYTES_PER_S  # of bodies so far
        self._rate = _Rate()
        self.waiting = 0  # requests that were let in and that the model has not begun
        self.waiting_s = 0.0  # and their recordings
        self.long = 0  # long recordings that are read
        self.long_s = 0.0  # and what of them is not read yet
        self.in_flight = 0  # requests that were let in and are not answered yet
        self.coming = 0  # of these, whose recordings are not decoded yet
        self.arriving = 0  # requests that may send their recordings, and are not let in yet
        self.draining = False
        self._refused = 0  # since somebody asked

    def take_refused(self) -> int:
        """Return how many were told to come again since this was last asked, for the request log."""
        taken, self._refused = self._refused, 0
        return taken

    @contextmanager
    def arrival(self, num_bytes: int | None) -> Iterator[None]:
        """Let a body be sent, if what it is likely to hold would be let in.

        Args:
            num_bytes: Size of the body; None if the caller does not say.

        Raises:
            ApiError: As `check_arrival`.
        """
        self.check_arrival(num_bytes)
        self.arriving += 1
        try:
            yield
        finally:
            self.arriving -= 1

    def check_arrival(self, num_bytes: int | None) -> None:
        """Refuse a body that is not to be sent.

        Args:
            num_bytes: Size of the body; None if the caller does not say.

        Raises:
            ApiError: With status 429 if so much waits already, 503 if the service is about to end.
        """
        if self.draining:
            raise ApiError(
                "the service is ending; send the request again, to another instance of it",
                status=503,
                code="shutting_down",
                headers={"Retry-After": "1"},
            )
        self.check(num_bytes)

    def check(self, num_bytes: int | None) -> float:
        """Return the seconds that a body is likely to hold, if there is room for them.

        Args:
            num_bytes: Size of the body; None if the caller does not say.

        Raises:
            ApiError: With status 429 if so much waits already.
        """
        seconds = self._max_duration_s
        if num_bytes is not None:
            seconds = min(seconds, num_bytes / self.bytes_per_s)
        waiting_s = self.waiting_s
        wait_s = self._rate.time_for(waiting_s)
        # Alone, anything is let in: a bound below one recording would let in none.
        if waiting_s and (waiting_s + seconds > self._max_waiting_s or wait_s > _LONGEST_WAIT_S):
            self._refused += 1
            raise _come_again(f"{waiting_s:.0f} s of recordings wait already", wait_s)
        return seconds

    @contextmanager
    def place(self, num_bytes: int, *, is_job: bool = False) -> Iterator[Place]:
        """Let a request in until it is answered.

        Args:
            num_bytes: Size of its recordings.
            is_job: It has waited elsewhere, and is let in whatever waits here.

        Raises:
            ApiError: As `check`.
        """
        place = Place(self, num_bytes, 0.0 if is_job else self.check(num_bytes), is_job=is_job)
        try:
            yield place
        finally:
            place.leave()

    def _changed(self) -> None:
        waiting_s = self.waiting_s + self.long_s
        self._metrics.load(waiting=self.waiting, waiting_s=waiting_s, in_flight=self.in_flight)


class Place:
    """One request that was let in, from then until it is answered."""

    def __init__(self, admission: Admission, num_bytes: int, seconds: float, *, is_job: bool) -> None:
        self._in = admission
        self._num_bytes = num_bytes
        self._seconds = seconds
        self._waits = True
        self._since = time.monotonic()
        self.waited_s: float | None = None  # before the model began; None for a long recording, or until then
        self._is_coming = True
        self._is_job = is_job
        self._is_long = False
        self._long_s = 0.0
        admission.waiting += 1
        admission.waiting_s += seconds
        admission.in_flight += 1
        admission.coming += 1
        admission._rate.resume()
        admission._changed()

    def decoded(self, seconds: float) -> None:
        """Say how long the recording is."""
        self._in.waiting_s += seconds - self._seconds
        self._seconds = seconds
        self._come()
        if seconds > 0 and self._num_bytes:  # a clip that is decoded already says nothing of bodies
            now = self._num_bytes / seconds
            self._in.bytes_per_s = _MEMORY * self._in.bytes_per_s + (1 - _MEMORY) * now
        self._in._changed()

    def is_long(self, seconds: float) -> None:
        """Say that the recording is a long one, and how much of it is likely to be left.

        Raises:
            ApiError: With status 429 if enough long ones are read.
        """
        if self._in.long >= self._in._max_long and not self._is_job:
            wait_s = self._in._rate.time_for(self._in.long_s) / self._in.long
            raise _come_again(f"{self._in.long} long recordings are read already", wait_s)
        self._is_long = True
        self._in.long += 1
        self.began()
        self.waited_s = None  # it is read beside the others, whatever waits
        self._come()
        self._long_s = seconds
        self._in.long_s += seconds
        self._in._changed()

    def read(self, seconds: float) -> None:
        """Say that so much was read, of a long recording; another one counts when it is answered."""
        if not self._is_long:
            return
        self._in._rate.add(seconds)
        done_s = min(seconds, self._long_s)
        self._long_s -= done_s
        self._in.long_s -= done_s
        self._in._changed()

    def began(self) -> None:
        """Say that the model has it: it waits no more."""
        if self._waits:
            self._waits = False
            self.waited_s = time.monotonic() - self._since
            self._in.waiting -= 1
            self._in.waiting_s = self._in.waiting_s - self._seconds if self._in.waiting else 0.0
            self._in._changed()

    def leave(self) -> None:
        """Say that it was answered, or will not be."""
        if self._is_long:
            self._in.long -= 1
            self._in.long_s = self._in.long_s - self._long_s if self._in.long else 0.0
        elif not self._waits:
            self._in._rate.add(self._seconds)
        self.began()
        self._come()
        self._in.in_flight -= 1
        if not self._in.in_flight:
            self._in._rate.pause()
        self._in._changed()

    def _come(self) -> None:
        if self._is_coming:
            self._is_coming = False
            self._in.coming -= 1


def _come_again(why: str, wait_s: float) -> ApiError:
    again_s = max(1, math.ceil(wait_s))
    return ApiError(
        f"{why}; try again in {again_s} s",
        status=429,
        code="rate_limit_exceeded",
        headers={"Retry-After": str(again_s)},
    )


class _Rate:
    """Seconds of recordings that are answered in a second, while there are any; recent seconds count most."""

    def __init__(self) -> None:
        self._answered_s = 0.0
        self._busy_s = 0.0
        self._since: float | None = None

    def resume(self) -> None:
        if self._since is None:
            self._since = time.monotonic()

    def pause(self) -> None:
        self._tick()
        self._since = None

    def add(self, seconds: float) -> None:
        self._tick()
        self._answered_s += seconds
        # Half of what is older than a minute of work is forgotten.
        if self._busy_s > 60:
            self._answered_s /= 2
            self._busy_s /= 2

    def time_for(self, seconds: float) -> float:
        """Return how long so many seconds of recordings take; 0 as long as nothing is known."""
        return seconds * self._busy_s / self._answered_s if self._answered_s else 0.0

    def _tick(self) -> None:
        now = time.monotonic()
        if self._since is not None:
            self._busy_s += now - self._since
            self._since = now
