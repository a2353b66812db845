"""The request log as a folder of JSON lines.

Each process writes its own file per day (UTC), so no two of them ever share a handle and old days can be
deleted while the service runs: ``requests-2026-11-20-<host>-<pid>.jsonl``.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from mome.errors import MonitorError
from mome.json_lines import lines_from_the_end, open_at_the_end
from mome.records import RequestRecord
from mome.request_log.store import Window, is_from_the_future

__all__ = ["FileStore"]


class FileStore:
    """Append-only files, flushed with every append.

    Args:
        folder: Where they go; made when the first line is written.
    """

    is_remote = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._day: date | None = None
        self._file: BinaryIO | None = None

    def append(self, records: Sequence[RequestRecord]) -> None:
        """Write a line for each record.

        Raises:
            OSError: If a file cannot be written.
        """
        for record in records:
            file = self._open(record.at.astimezone(UTC).date())
            file.write(record.model_dump_json().encode() + b"\n")
            file.flush()

    def newest(self, size: int, max_age_s: float, now: datetime) -> Window:
        """Return the newest requests of all files, merged by time.

        Files are read from their end: a log of months costs no more than one of minutes. A last line that
        is still being written is left for the next look.

        Raises:
            MonitorError: If the folder is a file, or if lines were found and none of them is a request.
        """
        if self._folder.exists() and not self._folder.is_dir():
            raise MonitorError(f"{self._folder}: expected the folder of the request log, found a file")
        oldest = now - timedelta(seconds=max_age_s)
        requests: list[RequestRecord] = []
        unreadable = readable = 0
        known: set[str] = set()
        for path in sorted(self._folder.glob("*.jsonl")):
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
            raise MonitorError(
                f"{self._folder}: none of {unreadable} lines is a RequestRecord; is this a request log?"
            )
        requests.sort(key=lambda request: (request.at, request.request_id))
        return Window(requests[-size:], unreadable)

    def delete_before(self, moment: datetime) -> int:
        """Delete files that nobody has written to since, and return how many lines they had."""
        deleted = 0
        for path in sorted(self._folder.glob("requests-*.jsonl")):
            if path.stat().st_mtime < moment.timestamp():
                with path.open("rb") as file:
                    deleted += sum(1 for _ in file)
                path.unlink()
        return deleted

    def close(self) -> None:
        """Close the open file."""
        if self._file is not None:
            self._file.close()
        self._file, self._day = None, None

    def _open(self, day: date) -> BinaryIO:
        if self._file is None or day != self._day:
            self.close()
            self._folder.mkdir(parents=True, exist_ok=True)
            # Pods on shared storage all have the same process ids: the host tells them apart. A container
            # that is started again has both from the one that was killed, and goes on in its file.
            name = f"requests-{day.isoformat()}-{socket.gethostname()}-{os.getpid()}.jsonl"
            self._file = open_at_the_end(self._folder / name)
            self._day = day
        return self._file
