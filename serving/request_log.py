"""Append one line per served request: features only, never sound, pictures or words.

Each worker process writes its own file per day (UTC), so no two processes ever share a handle and
old days can be deleted while the service runs: ``requests-2026-11-20-<host>-<pid>.jsonl``.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from datetime import UTC, date
from pathlib import Path
from typing import TextIO

from mome.records import RequestRecord

__all__ = ["RequestLog"]

_log = logging.getLogger(__name__)


class RequestLog:
    """Append-only JSON lines, flushed line by line.

    Args:
        folder: Where the files go; made when the first line is written. None logs nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._day: date | None = None
        self._file: TextIO | None = None
        self._failing = False

    def append(self, record: RequestRecord) -> None:
        """Write one record; a full disk is logged once and does not fail the request."""
        if self._folder is None:
            return
        line = record.model_dump_json() + "\n"
        with self._lock:
            try:
                file = self._open(self._folder, record.at.astimezone(UTC).date())
                file.write(line)
                file.flush()
                self._failing = False
            except OSError as error:
                if not self._failing:
                    _log.error("request log %s cannot be written: %s", self._folder, error)
                self._failing = True

    def close(self) -> None:
        """Close the open file; a later line opens it again."""
        with self._lock:
            self._close()

    def _open(self, folder: Path, day: date) -> TextIO:
        if self._file is None or day != self._day:
            self._close()
            folder.mkdir(parents=True, exist_ok=True)
            # Pods on shared storage all have the same process ids: the host tells them apart.
            name = f"requests-{day.isoformat()}-{socket.gethostname()}-{os.getpid()}.jsonl"
            self._file = (folder / name).open("a", encoding="utf-8")
            self._day = day
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._day = None, None
