"""The controller: follows the request log, and serves the scale that its noise asks for, until stopped.

    python -m monitoring.watch BUNDLE REQUESTS STATE --port 9464

It decides as one look of `monitoring.check` does, and keeps what it knows between looks: so the test for a
change has its stated run length. While the noise is new it looks at every request, when the service becomes
busy or is so no more at once, else once a minute.
Whatever cannot be read or written, the last good scale stays, the reason is on record, and it goes on. The
lock of ``state`` keeps single looks and a second controller away; that one waits, and takes over.
"""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry

from mome.cli import main
from mome.config import MonitorParams
from mome.errors import MomeError, MonitorError
from mome.records import Load, RequestRecord, ScaleDecision
from mome.request_log.opening import REQUESTS, open_store
from mome.scales import Scale
from monitoring.check import RECORDINGS, Monitor
from monitoring.drift import Drift
from monitoring.journal import append_decision
from monitoring.lease import FileLease, Lease
from monitoring.load import has_turned, latest_load, measure_load
from monitoring.metrics import Metrics
from monitoring.pages import serve_pages
from monitoring.parameters import load_monitor_params
from monitoring.publish import Target, target

__all__ = ["Watch", "watch"]

_log = logging.getLogger(__name__)
_POLL_S = 1.0
_DRIFT_S = 300.0  # Evidently takes a second, ten at first, and its drift is evidence, not a cause
_KNOWN = 10  # windows of request ids

_Identity = tuple[int, int, int]


class Watch:
    """Takes one turn after the other; a turn never fails.

    Args:
        params: Promise, damping and drift.
        bundle: Folder of the served bundle; it may not be there yet, and may be replaced.
        requests: Folder of the request log, or as `open_store` takes it.
        state: Folder for the scale, the decisions and the reports.
        place: Where the service reads its scale, if not in ``state``.
        metrics: To tell.
        look_s: Seconds between two looks at a noise that is known.
        recordings: As `Monitor` takes it.
    """

    def __init__(
        self,
        params: MonitorParams,
        bundle: Path,
        requests: Path | str,
        state: Path,
        place: Target,
        metrics: Metrics,
        look_s: float = 60.0,
        recordings: str = "",
    ) -> None:
        self._params, self._bundle, self._state = params, bundle, state
        self._log = open_store(requests)
        self._place, self._metrics, self._look_s = place, metrics, look_s
        self._recordings = recordings
        self._monitor: Monitor | None = None
        self._table: _Identity | None = None
        self._orders: _Identity | None = None
        self._load: Load | None = None
        self._history: list[ScaleDecision] = []
        self._served: ScaleDecision | None = None  # the last good one, as scale.json has it
        self._unpublished = False
        self._known: OrderedDict[str, None] = OrderedDict()
        self._looked: datetime | None = None
        self._drift_at: datetime | None = None
        self._drifted: tuple[str, ...] = ()
        self._beside = ThreadPoolExecutor(1)
        self._drifting: Future[Drift] | None = None
        self._trouble = ""
        metrics.run_length.set(params.run_length)

    def turn(self, now: datetime) -> None:
        """Read what is new, and decide if it is time to."""
        try:
            trouble = self._turn(now)
        except (MomeError, OSError) as error:
            trouble = str(error)
        if trouble:
            self._metrics.errors.inc()
            if trouble != self._trouble:  # once, not every second
                _log.error("the scale stays: %s", trouble)
                self._note(trouble, now)
        elif self._trouble:
            _log.info("all is well again")
        self._trouble = trouble

    def _turn(self, now: datetime) -> str:
        """Take a turn; return what could not be read, if the turn could go on without."""
        monitor = self._reread(now)
        current, trouble = self._current(monitor)
        unreadable, window = 0, list[RequestRecord]()
        try:
            window, unreadable = self._log.newest(self._params.window, self._params.max_age_s, now)
        except (MomeError, OSError) as error:
            trouble = str(error)
        new = [request for request in window if request.request_id not in self._known]
        self._remember(new)
        before = monitor.recent.changed_at
        monitor.recent.add(new)
        if monitor.recent.changed_at != before:
            self._metrics.changes.inc()
        self._metrics.evidence.set(monitor.recent.evidence)
        orders = _identity(self._state / "orders.json")
        decided = latest_load(self._history)
        self._load = load = measure_load(window, self._load or decided, now, self._params)
        self._metrics.show_load(load)
        waited = None if self._looked is None else (now - self._looked).total_seconds()
        due = waited is None or not 0 <= waited < self._look_s
        if due or has_turned(load, decided) or orders != self._orders or (new and monitor.recent.is_new):
            self._look(monitor, current, window, unreadable, now, load)
            self._orders = orders
        if self._unpublished and self._served is not None:
            self._place.publish(self._served)
            self._unpublished = False
        return trouble

    def _look(
        self,
        monitor: Monitor,
        current: Scale | None,
        window: list[RequestRecord],
        unreadable: int,
        now: datetime,
        load: Load | None,
    ) -> None:
        verdict = monitor.decide(current, self._history, now, unreadable, load)
        decision = verdict.decision.model_copy(update={"drifted": self._drifted})
        counts = monitor.record(verdict._replace(decision=decision), current, window)
        self._looked = now
        oldest = monitor.oldest(now)
        self._history = [*(each for each in self._history if each.at >= oldest), decision]
        self._metrics.look(decision)
        if counts:
            self._served, self._unpublished = decision, True
        if current is None or decision.switched:
            _log.info("serving scale %s: %s", decision.scale, decision.reason)
        self._follow_drift(monitor, window, decision)

    def _follow_drift(self, monitor: Monitor, window: list[RequestRecord], decision: ScaleDecision) -> None:
        """Compare with the baseline now and then, beside the turns: nothing waits for it."""
        if self._drifting is not None and self._drifting.done():
            done, self._drifting = self._drifting, None
            problem = done.exception()
            if problem is not None:  # whatever it is: the evidence is missing, and nothing else
                _log.error("drift could not be compared: %s", problem)
                self._metrics.errors.inc()
            else:
                drift = done.result()
                before, self._drifted = self._drifted, drift.drifted
                monitor.report_drift(drift, decision.model_copy(update={"drifted": drift.drifted}), before)
        if self._drifting is not None:
            return
        if self._drift_at is None or abs((decision.at - self._drift_at).total_seconds()) >= _DRIFT_S:
            self._drift_at = decision.at
            self._drifting = self._beside.submit(monitor.drift, window)

    def _reread(self, now: datetime) -> Monitor:
        """Return the monitor of the bundle that lies there now; a new bundle starts a new one."""
        table = _identity(self._bundle / "evaluation.json")
        if self._monitor is None or table != self._table:
            monitor = Monitor(self._params, self._bundle, self._state, self._recordings)
            if self._monitor is None:
                self._history = monitor.history(now)
                monitor.catch_up(self._history)
            self._monitor, self._table = monitor, table
            self._known.clear()  # they are placed in the new table
        return self._monitor

    def _current(self, monitor: Monitor) -> tuple[Scale | None, str]:
        """Return the served scale; a file that names none is written again, if the last good one is known."""
        try:
            current = monitor.current()
        except MonitorError as error:
            served = self._served
            if served is None or Scale.parse(served.scale) not in monitor.scales:
                raise
            served.write(self._state / "scale.json")
            return Scale.parse(served.scale), f"{error}; {served.scale} was written again"
        if current is not None and (self._served is None or self._served.scale != str(current)):
            self._served = ScaleDecision.read(self._state / "scale.json")
            self._unpublished = True
        return current, ""

    def _note(self, trouble: str, now: datetime) -> None:
        """Put on record why the scale stays, if that can be written."""
        if self._served is None:
            return
        decision = ScaleDecision(
            at=now,
            scale=self._served.scale,
            previous=self._served.scale,
            switched=False,
            snr_db=None,
            requests=0,
            reason=f"hold: {trouble}",
        )
        try:
            append_decision(self._state / "decisions.jsonl", decision)
        except OSError as error:
            _log.error("the decision cannot be written: %s", error)

    def _remember(self, requests: list[RequestRecord]) -> None:
        for request in requests:
            self._known[request.request_id] = None
        while len(self._known) > _KNOWN * self._params.window:
            self._known.popitem(last=False)


def watch(watching: Watch, lease: Lease, metrics: Metrics, stop: threading.Event) -> None:
    """Take turns while the lease is held, until told to stop.

    Args:
        watching: Takes the turns.
        lease: Of the folder.
        metrics: To tell.
        stop: Ends it.
    """
    waits = False
    try:
        while not stop.is_set():
            held = lease.hold()
            metrics.leads.set(held)
            if held:
                watching.turn(datetime.now(UTC))
            elif not waits:
                _log.info("another monitor is at work on this folder: waiting for it to end")
            waits = not held
            stop.wait(_POLL_S)
    finally:
        lease.release()


def _identity(path: Path) -> _Identity | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.watch",
        description="Follow the request log, and serve the scale that its noise asks for, until stopped.",
    )
    parser.add_argument("bundle", type=Path, help="folder of the served bundle")
    parser.add_argument("requests", help=REQUESTS)
    parser.add_argument("state", type=Path, help="folder for scale.json, decisions and drift reports")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="its section monitor counts")
    parser.add_argument("--publish", default="", help="configmap/NAME or a file; default: STATE/scale.json")
    parser.add_argument("--recordings", default="", help=RECORDINGS)
    parser.add_argument("--every", type=float, default=60.0, help="seconds between looks at a known noise")
    parser.add_argument("--host", default="127.0.0.1", help="that the page and the metrics are served on")
    parser.add_argument("--port", type=int, help="of page and metrics; without one there are none")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    params, place = load_monitor_params(given.params), target(given.publish)
    given.state.mkdir(parents=True, exist_ok=True)
    metrics = Metrics(CollectorRegistry())
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    watching = Watch(
        params, given.bundle, given.requests, given.state, place, metrics, given.every, given.recordings
    )
    with serve_pages(given.host, given.port, given.state, metrics):
        watch(watching, FileLease(given.state / "monitor.lock"), metrics, stop)


if __name__ == "__main__":
    raise SystemExit(main(_command))
