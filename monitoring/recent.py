"""The requests that say something of now: the newest, none too old, none from before the noise changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import numpy as np

from mome.config import MonitorParams
from mome.records import Evaluation, RequestRecord
from monitoring.change import ChangeTest

__all__ = ["Recent", "relevant_levels"]


def relevant_levels(evaluation: Evaluation, snrs_db: Sequence[float]) -> list[float]:
    """Return levels within those of the table: beyond its ends a difference changes nothing."""
    estimates = [condition.estimated_snr_db for condition in evaluation.conditions]
    return np.clip(snrs_db, min(estimates), max(estimates)).tolist()


class Recent:
    """Follows requests in order of time, and forgets what came before a change.

    Whether the noise has changed is asked of its level.

    Args:
        evaluation: The bundle's table.
        params: Size, age and run length.
    """

    def __init__(self, evaluation: Evaluation, params: MonitorParams) -> None:
        self._evaluation = evaluation
        self._params = params
        self._test = ChangeTest(params.run_length, params.window)
        self._requests: deque[RequestRecord] = deque(maxlen=params.window)
        self.changed_at: datetime | None = None

    @property
    def evidence(self) -> float:
        """How near the test is to calling the noise another: 0 to 1."""
        return self._test.evidence

    @property
    def is_new(self) -> bool:
        """Whether the noise has just changed: what is known of it is less than a window needs."""
        return 0 < len(self._requests) < self._params.min_requests and self._requests[0].at == self.changed_at

    def add(self, requests: Iterable[RequestRecord]) -> None:
        """Take in requests that came after those before, oldest first."""
        for request in requests:
            self._requests.append(request)
            if request.snr_db is None:
                continue
            (level,) = relevant_levels(self._evaluation, [request.snr_db])
            after = self._test.add(level)
            if after:
                self._forget_before(after)

    def window(self, now: datetime) -> list[RequestRecord]:
        """Return what counts now, oldest first."""
        oldest = now - timedelta(seconds=self._params.max_age_s)
        while self._requests and self._requests[0].at < oldest:
            self._requests.popleft()
        return list(self._requests)

    def _forget_before(self, heard: int) -> None:
        """Keep the newest requests, as many as have that many measurements among them."""
        kept: list[RequestRecord] = []
        while self._requests and heard:
            kept.append(self._requests.pop())
            heard -= kept[-1].snr_db is not None
        self._requests.clear()
        self._requests.extend(reversed(kept))
        self.changed_at = self._requests[0].at
