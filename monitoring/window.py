"""The newest requests of the log: a folder of JSON-lines files that are being written while we read."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from mome.errors import MonitorError
from mome.records import RequestRecord
from monitoring.journal import lines_from_the_end

__all__ = ["Window", "is_from_the_future", "read_window"]


_CLOCKS_APART = timedelta(minutes=1)  # of the machines that write and read


class Window(NamedTuple):
    """The newest answered requests, oldest first, and how many unreadable lines lay between them."""

    requests: list[RequestRecord]
    unreadable: int


def is_from_the_future(request: RequestRecord, now: datetime) -> bool:
    """Whether it was written by a clock that is wrong."""
    return request.at > now + _CLOCKS_APART


def read_window(folder: Path, size: int, max_age_s: float, now: datetime) -> Window:
    """Return the newest ``size`` requests that were answered (status 200) within the last ``max_age_s``.

    Each worker writes its own file, so the newest of all files are merged by time. Files are read
    from their end: a log of months costs no more than one of minutes. A last line that is
    still being written is left for the next look. A request from the future, or met before, is left
    out. A folder that is not there yet is a service without
    requests.

    Raises:
        MonitorError: If ``folder`` is a file, or if lines were found and none of them is a request.
    """
    if folder.exists() and not folder.is_dir():
        raise MonitorError(f"{folder}: expected the folder of the request log, found a file")
    oldest = now - timedelta(seconds=max_age_s)
    requests: list[RequestRecord] = []
    unreadable = readable = 0
    known: set[str] = set()
    for path in sorted(folder.glob("*.jsonl")):
        if path.stat().st_mtime < oldest.timestamp():
            continue
        kept = 0
        for line in lines_from_the_end(path):
            try:
                request = RequestRecord.model_validate_json(line)
            except ValidationError:
                unreadable += 1
                continue
            readable += 1
            if is_from_the_future(request, now) or request.request_id in known:
                continue  # a clock that is wrong, or a line that was copied: neither says anything of now
            known.add(request.request_id)
            # Lines of one file are in order of time, give or take requests that overlapped.
            if request.at < oldest or kept == size:
                break
            if request.status == 200:
                requests.append(request)
                kept += 1
    if unreadable and not readable:
        raise MonitorError(f"{folder}: none of {unreadable} lines is a RequestRecord; is this a request log?")
    requests.sort(key=lambda request: (request.at, request.request_id))
    return Window(requests[-size:], unreadable)
