"""What any place for the request log can do, and which of its requests say something of now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from mome.records import RequestRecord

__all__ = ["CLOCKS_APART", "RequestStore", "Window", "is_from_the_future"]

CLOCKS_APART = timedelta(minutes=1)  # of the machines that write and read


class Window(NamedTuple):
    """The newest answered requests, oldest first, and how many unreadable records lay between them."""

    requests: list[RequestRecord]
    unreadable: int


def is_from_the_future(request: RequestRecord, now: datetime) -> bool:
    """Whether it was written by a clock that is wrong."""
    return request.at > now + CLOCKS_APART


class RequestStore(Protocol):
    """A place where records of requests lie; many processes may write to it and read from it at once.

    Every method raises `OSError` or `ServiceError` if the place cannot be reached; the next call tries again.
    """

    is_remote: bool  # an append may take seconds

    def append(self, records: Sequence[RequestRecord]) -> None:
        """Add records; those of a call that failed half-way may be given again."""

    def newest(self, size: int, max_age_s: float, now: datetime) -> Window:
        """Return the newest ``size`` requests that were answered (status 200) within the last ``max_age_s``.

        A request from the future, or met before, is left out. A place that is not there yet is a service
        without requests.

        Raises:
            MonitorError: If what is found is no request log.
        """

    def delete_before(self, moment: datetime) -> int:
        """Forget what is older, and return how many records that were."""

    def close(self) -> None:
        """Let go of what is open; a later call opens it again."""
