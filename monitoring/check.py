"""One look of the monitor: read the request log, decide, publish the scale.

    state/
    ├── scale.json       the scale to serve: written when it changes, or what `auto` goes by does; renamed
    ├── decisions.jsonl  every look with its inputs and its reason
    ├── orders.json      what people have ordered: `monitoring.orders`
    ├── retrain.json     the latest noise that no scale copes with
    ├── drift/           Evidently's snapshot of each of the newest looks
    └── drift.html       Evidently's report of the last look that saw a new drift

A look that cannot see holds: whatever goes wrong, the served scale stays.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from mome.cli import main
from mome.config import MonitorParams
from mome.errors import MomeError, MonitorError, Occupied
from mome.expectation import Noises
from mome.records import Evaluation, Load, RequestRecord, RetrainRequest, ScaleDecision
from mome.request_log.opening import REQUESTS, open_store
from mome.scales import Scale
from monitoring.drift import Drift, compare, read_baseline
from monitoring.journal import append_decision, read_decisions
from monitoring.lease import FileLease
from monitoring.load import latest_load, measure_load
from monitoring.orders import read_orders
from monitoring.outcome import judge, tried_in_vain
from monitoring.parameters import load_monitor_params
from monitoring.policy import Verdict, clean_scale, decide, servable_scales
from monitoring.recent import Recent

__all__ = ["RECORDINGS", "Monitor", "run", "run_or_report"]

RECORDINGS = (
    "folder of the noise that is heard in production, as a training will see it; for its wish to name"
)

_KEPT_SNAPSHOTS = 200
_SAME_NOISE_DB = 1.0  # estimates wander that much from window to window
_ANOTHER_NOISE = 0.15  # of the shares; by less they differ from window to window
_ASK_AGAIN_AFTER = timedelta(days=7)  # a wish from which nothing came was lost, or its training did not help
_CLEARLY = 2 / 3
_REPORTED = timedelta(days=1)
_REACH = 3  # times as old as what counts: decisions that a look still reads


class Monitor:
    """Looks at requests, decides and writes what follows; nobody else may write into its folder meanwhile.

    Only the table and the baseline of the bundle are read; who loads the weights verifies them.

    Args:
        params: Damping and drift.
        bundle: Folder of the served bundle.
        state: Folder for the scale, the decisions and the reports; it exists.
        recordings: Folder of the noise that is heard in production, for a wish to name: the service keeps no
            sound. Empty for none.

    Raises:
        MonitorError: If the bundle cannot be used.
    """

    def __init__(self, params: MonitorParams, bundle: Path, state: Path, recordings: str = "") -> None:
        self.params = params
        self._recordings = recordings
        self.evaluation = _read_table(bundle)
        self.scales = servable_scales(self.evaluation, params)
        self._baseline = read_baseline(bundle / "baseline.parquet")
        self._state = state
        self.recent = Recent(self.evaluation, params)

    def oldest(self, now: datetime) -> datetime:
        """Return since when a look still needs to know what was decided."""
        return now - timedelta(seconds=_REACH * max(self.params.max_age_s, self.params.cooldown_s))

    def history(self, now: datetime) -> list[ScaleDecision]:
        """Return the decisions that a look still needs to know, oldest first."""
        return read_decisions(self._state / "decisions.jsonl", self.oldest(now))

    def current(self) -> Scale | None:
        """Return the scale that is served, None before the first look.

        Raises:
            MonitorError: If ``scale.json`` names none of the table.
        """
        return _current_scale(self._state / "scale.json", self.scales)

    def catch_up(self, history: Sequence[ScaleDecision]) -> None:
        """Serve the last switch on record if its writer died before it could.

        Args:
            history: Earlier decisions, oldest first.

        Raises:
            OSError: If it cannot be written.
        """
        path = self._state / "scale.json"
        switch = next((decision for decision in reversed(history) if decision.switched), None)
        try:
            served = ScaleDecision.read(path)
        except MomeError:
            return  # it is not there, to start anew; or whoever reads the served scale says what is wrong
        if switch is None or Scale.parse(switch.scale) not in self.scales:
            return
        if served.at < switch.at and served.scale == switch.previous:
            switch.write(path)

    def decide(
        self,
        current: Scale | None,
        history: Sequence[ScaleDecision],
        now: datetime,
        unreadable: int = 0,
        load: Load | None = None,
    ) -> Verdict:
        """Return what follows from the requests taken in, and from what people have ordered.

        Args:
            current: The scale that is served, None before the first look.
            history: Earlier decisions, oldest first.
            now: The moment of this look.
            unreadable: Lines of the log that were none.
            load: Of the service, if it is looked at.

        Raises:
            MonitorError: If the orders cannot be read.
        """
        orders = read_orders(self._state)
        allowed = orders.within(self.evaluation)
        served = current or clean_scale(allowed, self.params)
        past = [decision for decision in history if decision.at <= now]  # a clock that went back has others
        window, changed_at = self.recent.window(now), self.recent.changed_at
        tried = tried_in_vain(past, changed_at, self.oldest(now))
        table = allowed if tried is None else tried.without(allowed)
        verdict = decide(window, table, served, past, self.params, now, changed_at, load)
        judged = judge(verdict.decision, window, allowed, past, self.params)
        remarks = []
        if tried is not None:
            remarks.append(f"{tried.scale} was taken back at {tried.at:%H:%M:%S}, and is not tried again yet")
        if len(past) < len(history):
            remarks.append("the clock went back: looks of later times do not count")
        if current is None:
            remarks.append("first look, serving the choice for clean speech")
        if unreadable:
            remarks.append(f"{unreadable} unreadable lines in the log")
        decision = orders.apply(
            judged.model_copy(update={"allowed": orders.scales}),
            now,
            servable_scales(allowed, self.params),
        )
        return verdict._replace(
            decision=decision.model_copy(
                update={
                    "previous": None if current is None else str(current),
                    "reason": "; ".join([decision.reason, *remarks]),
                }
            )
        )

    def drift(self, requests: Sequence[RequestRecord]) -> Drift:
        """Compare requests with the baseline of the bundle."""
        return compare(requests, self._baseline, self.params.min_requests, self.params.drift_p_value)

    def record(self, verdict: Verdict, current: Scale | None, requests: Sequence[RequestRecord]) -> bool:
        """Write a decision, and what follows from it; return whether it is now the one to serve by.

        Raises:
            OSError: If it cannot be written; the scale is then as it was.
        """
        decision = verdict.decision
        if verdict.beyond_promise:
            _request_retraining(
                self._state / "retrain.json", requests, self.evaluation, decision, self._recordings
            )
        # The line first: no scale is ever served without a reason on record.
        append_decision(self._state / "decisions.jsonl", decision)
        path = self._state / "scale.json"
        counts = current is None or decision.switched or _tells_auto_more(decision, path)
        if counts:
            decision.write(path)
        return counts

    def report_drift(self, drift: Drift, decision: ScaleDecision, before: Sequence[str]) -> None:
        """Keep Evidently's snapshot, and its page when a new feature has drifted."""
        _write_drift(drift, self._state, decision, before)


def run(
    params: MonitorParams,
    bundle: Path,
    requests: Path | str,
    state: Path,
    now: datetime | None = None,
    recordings: str = "",
) -> ScaleDecision:
    """Look once and publish what follows from it.

    Args:
        params: Damping and drift.
        bundle: Folder of the served bundle.
        requests: Folder of the request log, which may not exist yet, or as `open_store` takes it.
        state: Folder for the scale, the decisions and the reports; made if missing. The service reads
            its scale from ``state/scale.json``.
        now: The moment of this look; the present unless given.
        recordings: As `Monitor` takes it.

    Raises:
        MonitorError: If another monitor is at work, or the bundle, the log or ``scale.json`` cannot be
            used. Nothing has changed then.
        ServiceError: If the database of the log cannot be reached; likewise.
    """
    now = now or datetime.now(UTC)
    state.mkdir(parents=True, exist_ok=True)
    with FileLease(state / "monitor.lock"), closing(open_store(requests)) as log:
        monitor = Monitor(params, bundle, state, recordings)
        history = monitor.history(now)
        monitor.catch_up(history)
        current = monitor.current()
        window = log.newest(params.window, params.max_age_s, now)
        monitor.recent.add(window.requests)
        load = measure_load(window.requests, latest_load(history), now, params)
        verdict = monitor.decide(current, history, now, window.unreadable, load)
        drift = monitor.drift(window.requests)
        decision = verdict.decision.model_copy(update={"drifted": drift.drifted})
        monitor.report_drift(drift, decision, history[-1].drifted if history else ())
        monitor.record(verdict._replace(decision=decision), current, window.requests)
    return decision


def run_or_report(
    params: MonitorParams,
    bundle: Path,
    requests: Path | str,
    state: Path,
    publish_to: str,
    recordings: str = "",
) -> tuple[ScaleDecision, str]:
    """Look once, or return the newest decision of a controller that is at work on the same folder.

    Args:
        params: As for `run`.
        bundle: Likewise.
        requests: Likewise.
        state: Likewise.
        publish_to: Where the decision is to be published.
        recordings: As `Monitor` takes it.

    Returns:
        The decision, and where it still has to be published; a controller has published its own.

    Raises:
        MonitorError: As `run`, and if a controller is at work that has decided nothing for a day.
    """
    try:
        return run(params, bundle, requests, state, recordings=recordings), publish_to
    except Occupied:
        return _newest(state), ""


def _newest(state: Path) -> ScaleDecision:
    found = read_decisions(state / "decisions.jsonl", datetime.now(UTC) - _REPORTED)
    if not found:
        raise MonitorError(f"{state}: a monitor is at work here, and has decided nothing for a day")
    return found[-1]


def _read_table(bundle: Path) -> Evaluation:
    try:
        return Evaluation.read(bundle / "evaluation.json")
    except MomeError as error:
        raise MonitorError(f"the bundle cannot be monitored: {error}") from error


def _current_scale(path: Path, scales: Sequence[Scale]) -> Scale | None:
    if not path.exists():
        return None
    try:
        scale = Scale.parse(ScaleDecision.read(path).scale)
    except MomeError as error:
        raise MonitorError(f"the served scale is unknown: {error}; delete the file to start anew") from error
    if scale not in scales:
        raise MonitorError(
            f"{path}: scale {scale} is not in the bundle's table, which has {', '.join(map(str, scales))};"
            " delete the file to start anew"
        )
    return scale


def _tells_auto_more(decision: ScaleDecision, path: Path) -> bool:
    """Whether requests whose scale is chosen one by one would go by something else now."""
    if decision.promise is None:
        return False
    try:
        served = ScaleDecision.read(path)
    except MomeError:
        return False  # whoever reads the served scale says what is wrong
    if (served.promise, served.spending, served.allowed) != (
        decision.promise,
        decision.spending,
        decision.allowed,
    ):
        return True
    columns = decision.noise.keys() | served.noise.keys()
    moved = sum(abs(decision.noise.get(key, 0.0) - served.noise.get(key, 0.0)) for key in columns) / 2
    return bool(decision.noise) and moved > _ANOTHER_NOISE


def _write_drift(drift: Drift, state: Path, decision: ScaleDecision, before: Sequence[str]) -> None:
    if drift.snapshot is None:
        return
    folder = state / "drift"
    drift.write_json(folder / f"{decision.at.astimezone(UTC):%Y%m%dT%H%M%S.%f}Z.json")
    for old in sorted(folder.glob("*.json"))[:-_KEPT_SNAPSHOTS]:
        old.unlink()
    # While the same features stay drifted, the report that showed it first is enough.
    if decision.drifted and set(decision.drifted) != set(before):
        drift.write_html(state / "drift.html")


def _request_retraining(
    path: Path,
    requests: Sequence[RequestRecord],
    evaluation: Evaluation,
    decision: ScaleDecision,
    recordings: str,
) -> None:
    """Ask for a model that copes with this noise, unless the request that lies there already covers it.

    While no scale copes, that lasts for a week: then the same is asked for again. Noise of another kind, or
    of other recordings, is another noise.
    """
    noises = Noises(evaluation.conditions)
    heard = [
        (request.noise_kind, noises.true_snr_db(request.snr_db, request.noise_kind))
        for request in requests
        if request.snr_db is not None and request.noise_kind not in (None, "none")
    ]
    if not heard:  # too many words are wrong, and it is not noise that training could add
        return
    low, high = np.percentile([level for _, level in heard], (10, 90)).tolist()
    try:
        earlier = RetrainRequest.read(path)
    except MomeError:  # none yet, or one that nobody could act on
        earlier = None
    noise, count = Counter(str(kind) for kind, _ in heard).most_common(1)[0]
    if earlier is not None and count < _CLEARLY * len(heard):  # two kinds at once are no change to and fro
        noise = earlier.noise
    if earlier is not None and (earlier.noise, earlier.recordings) == (noise, recordings):
        covered = earlier.snr_low_db - _SAME_NOISE_DB <= low and high <= earlier.snr_high_db + _SAME_NOISE_DB
        if covered and decision.at - earlier.at < _ASK_AGAIN_AFTER:
            return
        low, high = min(low, earlier.snr_low_db), max(high, earlier.snr_high_db)
    RetrainRequest(
        at=decision.at,
        snr_low_db=low,
        snr_high_db=high,
        noise=noise,
        reason=decision.reason,
        recordings=recordings,
    ).write(path)


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.check", description="Look once at the request log, and publish the scale."
    )
    parser.add_argument("bundle", type=Path, help="folder of the served bundle")
    parser.add_argument("requests", help=REQUESTS)
    parser.add_argument("state", type=Path, help="folder for scale.json, decisions and drift reports")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="its section monitor counts")
    parser.add_argument("--recordings", default="", help=RECORDINGS)
    parser.add_argument(
        "--if-served",
        action="store_true",
        help="look at nothing while the bundle is not there yet",
    )
    arguments = parser.parse_args()
    if arguments.if_served and not arguments.bundle.exists():
        print(f"nothing is served yet: {arguments.bundle} is not there")
        return
    decision = run(
        load_monitor_params(arguments.params),
        arguments.bundle,
        arguments.requests,
        arguments.state,
        recordings=arguments.recordings,
    )
    print(f"{decision.scale}: {decision.reason}")


if __name__ == "__main__":
    raise SystemExit(main(_command))
