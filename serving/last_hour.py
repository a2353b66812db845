"""What was served in the last hour, minute by minute: for the page's plot, of this worker."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from mome.records import RequestRecord

__all__ = ["LastHour"]

_MINUTES = 60
_MOST_LEVELS = 1_000  # of a minute; its median needs no more


@dataclass
class _Minute:
    at: datetime
    scales: Counter[str] = field(default_factory=Counter)
    snr_db: list[float] = field(default_factory=list)


class LastHour:
    """Counts and medians of minutes; nothing of a single request is kept."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minutes: deque[_Minute] = deque(maxlen=_MINUTES)

    def add(self, record: RequestRecord) -> None:
        """Count one answered request."""
        at = record.at.replace(second=0, microsecond=0)
        with self._lock:
            if not self._minutes or self._minutes[-1].at < at:
                self._minutes.append(_Minute(at))
            minute = self._minutes[-1]
            minute.scales[record.scale] += 1
            if record.snr_db is not None and len(minute.snr_db) < _MOST_LEVELS:
                minute.snr_db.append(record.snr_db)

    def minutes(self, now: datetime) -> list[dict[str, Any]]:
        """Return the minutes in which something was answered, oldest first.

        Each has the scale of most of its requests, and the median of their noise: None if none was measured.
        """
        since = now - timedelta(minutes=_MINUTES)
        with self._lock:
            return [
                {
                    "at": minute.at.isoformat(),
                    "requests": minute.scales.total(),
                    "scale": minute.scales.most_common(1)[0][0],
                    "snr_db": median(minute.snr_db) if minute.snr_db else None,
                }
                for minute in self._minutes
                if minute.at >= since
            ]
