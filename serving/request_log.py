"""Log each served request: features only, never sound, pictures or words.

A request never waits for its log, and never fails because of it. A line of a file is there when it was
appended; what goes to a database waits in memory for a thread that writes whatever has come meanwhile.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from mome.errors import MomeError
from mome.records import RequestRecord
from mome.request_log.opening import open_store

__all__ = ["RequestLog"]

_log = logging.getLogger(__name__)
_MOST_WAITING = 10_000  # records, some 10 MB
_BATCH = 500
_PAUSE_S = 2.0  # before a database that is away is asked again
_LAST_S = 8.0  # for what waits when the service ends; a pod has 60 s, of which requests take most


class RequestLog:
    """Takes records, whatever becomes of the place that they go to.

    Args:
        place: Folder, or URL of a database. None logs nothing.
        lost: Told how many records were given up, each time that some are.
        most_waiting: Records that are kept while a database is away; then the oldest are given up.

    Raises:
        ConfigError: If ``place`` is neither.
    """

    def __init__(
        self,
        place: Path | str | None,
        lost: Callable[[int], None] = lambda _: None,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        self._store = None if place is None else open_store(place)
        self._lost = lost
        self._most_waiting = most_waiting
        self._waiting: deque[RequestRecord] = deque()
        self._changed = threading.Condition()
        self._writer: threading.Thread | None = None
        self._closing = False
        self._failing = False

    def append(self, record: RequestRecord) -> None:
        """Take one record; a full disk or a database that is away is said once and fails no request."""
        if self._store is None:
            return
        with self._changed:
            if not self._store.is_remote:
                if not self._write([record]):
                    self._lost(1)
                return
            self._waiting.append(record)
            self._give_up_beyond(self._most_waiting)
            if self._writer is None or not self._writer.is_alive():
                self._writer = threading.Thread(target=self._write_on, name="request-log", daemon=True)
                self._writer.start()
            self._changed.notify()

    def close(self) -> None:
        """Write what waits, if that takes no more than a few seconds; a later record opens the log again."""
        with self._changed:
            self._closing = True
            self._changed.notify()
            writer = self._writer
        if writer is not None:
            writer.join(_LAST_S)
        with self._changed:
            self._give_up_beyond(0)
            if self._store is not None:
                self._store.close()
            self._closing = False

    def _write_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                is_last = self._closing
                if not self._waiting:
                    self._writer = None
                    return
                batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            if self._write(batch):
                continue
            with self._changed:
                self._waiting.extendleft(reversed(batch))
                self._give_up_beyond(self._most_waiting)
                if is_last:
                    self._writer = None
                    return
                self._changed.wait_for(lambda: self._closing, _PAUSE_S)

    def _write(self, records: Sequence[RequestRecord]) -> bool:
        assert self._store is not None
        try:
            self._store.append(records)
        except (MomeError, OSError) as error:
            if not self._failing:
                _log.error("the request log cannot be written: %s", error)
            self._failing = True
            return False
        if self._failing:
            _log.warning("the request log is written again")
        self._failing = False
        return True

    def _give_up_beyond(self, most: int) -> None:
        """Forget the oldest that wait: the monitor asks for the newest."""
        count = max(0, len(self._waiting) - most)
        for _ in range(count):
            self._waiting.popleft()
        if count:
            self._lost(count)
