"""One look of the monitor: read the request log, decide, publish the scale.

    state/
    ├── scale.json       the scale to serve: written when it changes, renamed into place
    ├── decisions.jsonl  every look with its inputs and its reason
    ├── retrain.json     the latest noise that no scale copes with
    ├── drift/           Evidently's snapshot of each of the newest looks
    └── drift.html       Evidently's report of the last look that saw a new drift

A look that cannot see holds: whatever goes wrong, the served scale stays.
"""

from __future__ import annotations

import argparse
import fcntl
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from mome.cli import main
from mome.config import MonitorParams
from mome.errors import MomeError, MonitorError
from mome.expectation import Noises
from mome.records import Evaluation, RequestRecord, RetrainRequest, ScaleDecision
from mome.scales import Scale
from monitoring.drift import Drift, compare, read_baseline
from monitoring.journal import append_decision, read_decisions
from monitoring.parameters import load_monitor_params
from monitoring.policy import clean_scale, decide, servable_scales
from monitoring.recent import Recent
from monitoring.window import Window, read_window

__all__ = ["run"]

_KEPT_SNAPSHOTS = 200
_SAME_NOISE_DB = 1.0  # estimates wander that much from window to window
_ASK_AGAIN_AFTER = timedelta(days=7)  # a wish from which nothing came was lost, or its training did not help


def run(
    params: MonitorParams, bundle: Path, requests: Path, state: Path, now: datetime | None = None
) -> ScaleDecision:
    """Look once and publish what follows from it.

    Only the table and the baseline of the bundle are read; who loads the weights verifies them.

    Args:
        params: Damping and drift.
        bundle: Folder of the served bundle.
        requests: Folder of the request log; it may not exist yet.
        state: Folder for the scale, the decisions and the reports; made if missing. The service reads
            its scale from ``state/scale.json``.
        now: The moment of this look; the present unless given.

    Raises:
        MonitorError: If another monitor is at work, or the bundle, the log or ``scale.json`` cannot be
            used. Nothing has changed then.
    """
    now = now or datetime.now(UTC)
    state.mkdir(parents=True, exist_ok=True)
    with _single_writer(state / "monitor.lock"):
        evaluation = _read_table(bundle)
        baseline = read_baseline(bundle / "baseline.parquet")
        current = _current_scale(state / "scale.json", servable_scales(evaluation, params))
        window = read_window(requests, params.window, params.max_age_s, now)
        history = read_decisions(
            state / "decisions.jsonl", now - timedelta(seconds=max(params.max_age_s, params.cooldown_s))
        )
        recent = Recent(evaluation, params)
        recent.add(window.requests)
        verdict = decide(
            recent.window(now),
            evaluation,
            current or clean_scale(evaluation, params),
            history,
            params,
            now,
            recent.changed_at,
        )
        drift = compare(window.requests, baseline, params.min_requests, params.drift_p_value)
        decision = verdict.decision.model_copy(
            update={
                "drifted": drift.drifted,
                "previous": None if current is None else str(current),
                "reason": verdict.decision.reason + _remarks(window, current),
            }
        )
        _write_drift(drift, state, decision, history[-1].drifted if history else ())
        if verdict.beyond_promise:
            _request_retraining(state / "retrain.json", window.requests, evaluation, decision)
        # The line first: no scale is ever served without a reason on record.
        append_decision(state / "decisions.jsonl", decision)
        if current is None or decision.switched:
            decision.write(state / "scale.json")
    return decision


@contextmanager
def _single_writer(path: Path) -> Iterator[None]:
    """Hold the lock file; the system lets go of it when the process ends, however it ends."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MonitorError(
                f"{path}: another monitor is at work on this folder; expected to be alone"
            ) from None
        yield


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


def _remarks(window: Window, current: Scale | None) -> str:
    first = "; first look, serving the choice for clean speech" if current is None else ""
    return first + (f"; {window.unreadable} unreadable lines in the log" if window.unreadable else "")


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
    path: Path, requests: Sequence[RequestRecord], evaluation: Evaluation, decision: ScaleDecision
) -> None:
    """Ask for a model that copes with this noise, unless the request that lies there already covers it.

    While no scale copes, that lasts for a week: then the same is asked for again.
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
        pass
    else:
        covered = earlier.snr_low_db - _SAME_NOISE_DB <= low and high <= earlier.snr_high_db + _SAME_NOISE_DB
        if covered and decision.at - earlier.at < _ASK_AGAIN_AFTER:
            return
        low, high = min(low, earlier.snr_low_db), max(high, earlier.snr_high_db)
    RetrainRequest(
        at=decision.at,
        snr_low_db=low,
        snr_high_db=high,
        noise=Counter(kind for kind, _ in heard).most_common(1)[0][0],
        reason=decision.reason,
    ).write(path)


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.check", description="Look once at the request log, and publish the scale."
    )
    parser.add_argument("bundle", type=Path, help="folder of the served bundle")
    parser.add_argument("requests", type=Path, help="folder of the request log")
    parser.add_argument("state", type=Path, help="folder for scale.json, decisions and drift reports")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="its section monitor counts")
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
        load_monitor_params(arguments.params), arguments.bundle, arguments.requests, arguments.state
    )
    print(f"{decision.scale}: {decision.reason}")


if __name__ == "__main__":
    raise SystemExit(main(_command))
