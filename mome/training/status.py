"""Progress for Kubeflow Trainer, which shows it as the status of a TrainJob.

With its feature gate for that on (``TrainJobStatus`` to Trainer's SDK, ``TrainJobRuntimeStatus`` to
transformers), the controller names a server in every pod of the job:

KUBEFLOW_TRAINER_SERVER_URL      where the status is posted
KUBEFLOW_TRAINER_SERVER_CA_CERT  file with the certificate authority of that server
KUBEFLOW_TRAINER_SERVER_TOKEN    file with the token that it wants; it is renewed now and then
"""

from __future__ import annotations

import json
import logging
import os
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["Report", "reporting"]

_log = logging.getLogger(__name__)
_EVERY_S = 5.0  # Trainer's own clients send no more often
_TIMEOUT_S = 5.0

Report = Callable[[int, Mapping[str, float]], None]


@contextmanager
def reporting(total: int, *, wanted: bool = True) -> Iterator[Report]:
    """Report how far a training is, from a thread of its own: no step waits, and no failure ends anything.

    Yields a function that takes the number of steps that are done and what was measured in the last of them.
    Without a server in the environment it does nothing. Leaving without an exception reports 100 %.

    Args:
        total: Number of steps.
        wanted: Whether this process reports, of several that train together.
    """
    url = os.environ.get("KUBEFLOW_TRAINER_SERVER_URL") if wanted else None
    if not url:
        yield _nobody
        return
    sender = _Sender(url, total)
    try:
        yield sender.report
    except BaseException:
        sender.end(done=False)
        raise
    sender.end(done=True)


def _nobody(_: int, __: Mapping[str, float]) -> None:
    """Nobody asks."""


class _Sender:
    """Sends the newest of what is reported, as often as is allowed."""

    def __init__(self, url: str, total: int) -> None:
        self._url = url
        self._total = total
        self._news = threading.Event()
        self._ended = threading.Event()
        self._status: dict[str, object] = {}
        self._metrics: dict[str, float] = {}
        self._first: tuple[int, float] | None = None
        self._has_failed = False
        self._thread = threading.Thread(target=self._run, name="trainer-status", daemon=True)
        self._thread.start()

    def report(self, done: int, measured: Mapping[str, float]) -> None:
        """Take note of a step; what an earlier one measured and this one did not stays."""
        now = time.monotonic()
        self._metrics = {**self._metrics, **measured, "current_step": done, "total_steps": self._total}
        status = self._new(min(99, 100 * done // self._total))  # 100 is for a training that is done
        if self._first is None:
            self._first = (done, now)  # a training that goes on has steps that took no time
        elif done > self._first[0]:
            each_s = (now - self._first[1]) / (done - self._first[0])
            status["estimatedRemainingSeconds"] = int(each_s * (self._total - done))
        self._status = status
        self._news.set()

    def end(self, *, done: bool) -> None:
        """Send the last status, if the training is done, and end the thread."""
        if done:
            self._status = self._new(100) | {"estimatedRemainingSeconds": 0}
            self._news.set()
        else:
            self._news.clear()
        self._ended.set()
        self._thread.join(2 * _TIMEOUT_S)

    def _new(self, percent: int) -> dict[str, object]:
        return {
            "lastUpdatedTime": datetime.now(UTC).isoformat(),
            "progressPercentage": percent,
            "metrics": [{"name": name, "value": str(value)} for name, value in self._metrics.items()],
        }

    def _run(self) -> None:
        while not self._ended.is_set():
            if self._news.wait(0.2) and not self._ended.is_set():
                self._news.clear()
                self._send()
                self._ended.wait(_EVERY_S)
        if self._news.is_set():
            self._send()

    def _send(self) -> None:
        try:
            if not self._url.startswith(("https://", "http://")):
                raise ValueError(f"{self._url} is no address of a server")
            token = Path(os.environ["KUBEFLOW_TRAINER_SERVER_TOKEN"]).read_text(encoding="utf-8").strip()
            asked = urllib.request.Request(  # noqa: S310 -- looked at above
                self._url,
                data=json.dumps({"trainerStatus": self._status}).encode(),
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
                method="POST",
            )
            authority = os.environ.get("KUBEFLOW_TRAINER_SERVER_CA_CERT")
            known = ssl.create_default_context(cafile=authority) if authority else None
            with urllib.request.urlopen(asked, timeout=_TIMEOUT_S, context=known):  # noqa: S310
                pass
        except (OSError, ValueError, KeyError) as error:
            if not self._has_failed:
                self._has_failed = True
                _log.warning("Kubeflow Trainer does not take the progress of this training: %r", error)
