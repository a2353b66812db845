"""What is left to each key: requests and seconds of recordings, which come back steadily.

A limit is a bucket that holds what may be had in its minute or day and fills at that pace, so a pause is
paid back and nobody waits for the end of a window. How long a recording is, is known only when it is decoded:
its seconds are taken then, and what they exceed is a debt, for which later requests wait.

Each worker counts for itself, from its start: so many workers and pods, so many times the limit.
"""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from serving.errors import ApiError
from serving.keys import Key, digest
from serving.metrics import Metrics

__all__ = ["Quota", "Quotas"]

_MINUTE_S = 60.0
_DAY_S = 86_400.0
_LEAST_S = 1.0  # of recordings that have come back, before it is worth to try again
_SLOT_S = 1.0  # after which somebody with too many requests in flight may try again


class Quotas:
    """Those of all keys.

    Args:
        keys: None at all means that nobody is asked for one.
        metrics: Where it is counted, by the keys' names.
    """

    def __init__(self, keys: Sequence[Key], metrics: Metrics) -> None:
        self._quotas = [Quota(key, metrics) for key in keys]
        self._anyone = None if keys else Quota(Key("", "anyone"), metrics)

    def of(self, secret: str) -> Quota | None:
        """Return the quota of a key that was sent; None if nobody has it."""
        if self._anyone is not None:
            return self._anyone
        # In constant time, and all of them: it must not tell how much of a guess was right, or of which.
        same = [hmac.compare_digest(secret.encode(), quota.key.secret.encode()) for quota in self._quotas]
        return self._quotas[same.index(True)] if any(same) else None

    def of_digest(self, digested: str) -> Quota | None:
        """Return the quota of a key of which the digest was kept; None if it is no key any more."""
        everyone = self._quotas if self._anyone is None else [self._anyone]
        return next((each for each in everyone if digest(each.key.secret) == digested), None)


class Quota:
    """What is left to one key; used in one event loop.

    Args:
        key: With its limits.
        metrics: Where it is counted.
    """

    def __init__(self, key: Key, metrics: Metrics) -> None:
        self.key = key
        self._metrics = metrics
        self._in_flight = 0
        self._requests = _Bucket.of(key.requests_per_minute, _MINUTE_S)
        self._seconds = [
            bucket
            for bucket in (
                _Bucket.of(key.seconds_per_day, _DAY_S),  # first: where both are spent, it takes longer
                _Bucket.of(key.seconds_per_minute, _MINUTE_S),
            )
            if bucket is not None
        ]

    @contextmanager
    def request(self) -> Iterator[None]:
        """Let a request in until it is answered.

        Raises:
            ApiError: With status 429 if the key has no request, no second or no place in flight left.
        """
        limit = self.key.in_flight
        if limit is not None and self._in_flight >= limit:
            raise self._refused(
                "in_flight", f"{self._in_flight} of {limit} requests in flight are not answered yet", _SLOT_S
            )
        self.check_seconds()
        if self._requests is not None:
            if (wait_s := self._requests.wait_s(1)) > 0:
                raise self._refused(
                    "requests_per_minute", f"{self._requests.limit:.0f} requests a minute were sent", wait_s
                )
            self._requests.take(1)
        self._metrics.key_request(self.key.name)
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def check_seconds(self) -> None:
        """Refuse more of a recording if there is nothing left.

        Raises:
            ApiError: With status 429.
        """
        for bucket in self._seconds:
            if bucket.left() <= 0:
                per = "minute" if bucket.window_s == _MINUTE_S else "day"
                said = f"{bucket.limit:.0f} seconds of recordings a {per} were sent"
                raise self._refused(f"seconds_per_{per}", said, bucket.wait_s(_LEAST_S))

    def heard(self, seconds: float) -> None:
        """Take so much of a recording from what is left."""
        for bucket in self._seconds:
            bucket.take(seconds)
        self._metrics.key_seconds(self.key.name, seconds)

    def headers(self) -> dict[str, str]:
        """Return OpenAI's headers of what is left; empty for a key without limits.

        Of the seconds of a minute and of a day, those that are nearer to their end.
        """
        said: dict[str, str] = {}
        if self._requests is not None:
            said |= self._requests.headers("requests")
        if self._seconds:
            said |= min(self._seconds, key=lambda bucket: bucket.left()).headers("audio-seconds")
        return said

    def _refused(self, limit: str, said: str, wait_s: float) -> ApiError:
        self._metrics.key_refused(self.key.name, limit)
        again_s = max(1, math.ceil(wait_s))
        is_spent = limit == "seconds_per_day"
        return ApiError(
            f"rate limit of the key {self.key.name!r}: {said}; try again in {again_s} s",
            status=429,
            kind=_TYPES.get(limit, "requests"),
            code="insufficient_quota" if is_spent else "rate_limit_exceeded",
            # OpenAI's clients try again within seconds, unless they are told that it is no use.
            headers={"Retry-After": str(again_s)} | ({"x-should-retry": "false"} if is_spent else {}),
        )


# OpenAI names the thing of which there is too much, and what is spent for longer; its own has no sound.
_TYPES = {"seconds_per_minute": "audio_seconds", "seconds_per_day": "insufficient_quota"}


class _Bucket:
    """So much in a window, and what is left of it; below zero it is a debt."""

    def __init__(self, limit: float, window_s: float) -> None:
        self.limit = limit
        self.window_s = window_s
        self._held = limit
        self._at = time.monotonic()

    @classmethod
    def of(cls, limit: float | None, window_s: float) -> _Bucket | None:
        """Return one that is full; None without a limit."""
        return None if limit is None else cls(limit, window_s)

    def left(self) -> float:
        """Return what may be had now."""
        come_back = (time.monotonic() - self._at) * self.limit / self.window_s
        return min(self.limit, self._held + come_back)

    def take(self, amount: float) -> None:
        """Take so much, whether it is there or not."""
        self._held, self._at = self.left() - amount, time.monotonic()

    def wait_s(self, amount: float) -> float:
        """Return when there is so much; 0 if it is there."""
        return max(0.0, (amount - self.left()) * self.window_s / self.limit)

    def headers(self, what: str) -> dict[str, str]:
        full_s = (self.limit - self.left()) * self.window_s / self.limit
        return {
            f"x-ratelimit-limit-{what}": str(math.floor(self.limit)),
            f"x-ratelimit-remaining-{what}": str(max(0, math.floor(self.left()))),
            f"x-ratelimit-reset-{what}": _duration(full_s),
        }


def _duration(seconds: float) -> str:
    """Return a time as OpenAI's headers write it: ``6m0s``, ``1s``, ``120ms``."""
    if seconds < 1:
        return f"{math.ceil(1000 * seconds)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return "".join([f"{hours}h" if hours else "", f"{minutes}m" if hours or minutes else "", f"{rest}s"])
