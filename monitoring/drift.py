"""Is what comes in still what the model was evaluated on? Evidently compares, feature by feature.

The test is Kolmogorov-Smirnov, named explicitly: left to itself Evidently changes the test when the
baseline grows, and its distances (PSI, Wasserstein) flag pure chance in windows below some 300
requests. Drift says "different", never "noisier": it is evidence beside a decision, not its cause.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from mome.errors import MonitorError
from mome.records import RequestRecord, estimate_column, snr_key
from mome.storage import new_file, write_text

if TYPE_CHECKING:
    from evidently.core.report import Snapshot

__all__ = ["FEATURES", "Drift", "compare", "read_baseline"]

# Measured on the raw signal, so that none of them depends on the served scale ...
FEATURES = ("snr_db", "level_db", "speech_share", "mouth_sharpness", "estimated_wer")
_OF_SCALE = "estimated_wer"  # ... but the last, which is compared at the scale that most requests have


class Drift(NamedTuple):
    """Which features differ from the baseline, and which could not be compared and why."""

    drifted: tuple[str, ...]
    skipped: dict[str, str]
    snapshot: Snapshot | None  # Evidently's, None when no feature could be compared

    def write_json(self, path: Path) -> None:
        """Write Evidently's snapshot, as its workspace reads it; an empty one without a comparison."""
        write_text(path, "{}\n" if self.snapshot is None else self.snapshot.dumps() + "\n")

    def write_html(self, path: Path) -> None:
        """Write Evidently's report: one self-contained file of about 4 MB. Nothing without a snapshot."""
        if self.snapshot is not None:
            with new_file(path) as temporary:
                self.snapshot.save_html(str(temporary))


def read_baseline(path: Path) -> pd.DataFrame:
    """Return the features of the clean evaluation clips, one row per clip.

    Raises:
        MonitorError: If the file is missing, is not parquet, or has no clean row.
    """
    try:
        table = pd.read_parquet(path)
    except FileNotFoundError:
        raise MonitorError(f"{path}: no such file; expected the baseline of the bundle") from None
    except (OSError, ValueError) as error:  # pyarrow's errors are both
        raise MonitorError(f"{path}: not a parquet file: {error}") from error
    if "condition" not in table or not (table["condition"] == snr_key(None)).any():
        raise MonitorError(
            f"{path}: no row with condition {snr_key(None)!r}; expected the clean evaluation clips"
        )
    return table[table["condition"] == snr_key(None)]


def compare(
    requests: Sequence[RequestRecord], baseline: pd.DataFrame, min_requests: int, p_value: float
) -> Drift:
    """Compare a window of requests with the baseline.

    Args:
        requests: The window.
        baseline: As `read_baseline` returns it.
        min_requests: Fewer measurements of a feature than this are not compared.
        p_value: Smaller p-values of the Kolmogorov-Smirnov test count as drift.
    """
    current = pd.DataFrame(
        [request.model_dump(include=set(FEATURES)) for request in requests], columns=FEATURES
    )
    current, baseline = _at_one_scale(requests, current, baseline)
    pairs: dict[str, tuple[pd.Series[float], pd.Series[float]]] = {}
    skipped: dict[str, str] = {}
    for feature in FEATURES:
        now, before = _numbers(current, feature), _numbers(baseline, feature)
        if len(now) < min_requests:
            skipped[feature] = f"{len(now)} measurements, {min_requests} needed"
        elif len(before) < min_requests:
            skipped[feature] = f"{len(before)} measurements in the baseline, {min_requests} needed"
        elif before.nunique() == 1 or now.nunique() == 1:
            skipped[feature] = "one and the same value throughout: there is no distribution to compare"
        else:
            pairs[feature] = now, before
    if not pairs:
        return Drift((), skipped, None)
    snapshot = _report(pairs, p_value)
    return Drift(_drifted(snapshot.dict()), skipped, snapshot)


def _at_one_scale(
    requests: Sequence[RequestRecord], current: pd.DataFrame, baseline: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return both tables with the estimated word errors of the scale that most requests were read at.

    Of another scale or modality they are no fault of the traffic. A baseline from before there were
    estimates has none.
    """
    read_as = Counter((request.modality, request.scale) for request in requests)
    if not read_as:
        return current, baseline
    ((modality, scale), _), *_ = read_as.most_common(1)
    alike = [(request.modality, request.scale) == (modality, scale) for request in requests]
    rates = baseline.get(estimate_column(modality, scale), pd.Series(dtype=float))
    return current.assign(**{_OF_SCALE: current[_OF_SCALE].where(alike)}), baseline.assign(
        **{_OF_SCALE: rates}
    )


def _numbers(table: pd.DataFrame, feature: str) -> pd.Series[float]:
    if feature not in table:
        return pd.Series(dtype=float)
    values = pd.to_numeric(table[feature], errors="coerce")
    return values[values.abs() < float("inf")].reset_index(drop=True)  # neither NaN nor infinite


def _report(pairs: dict[str, tuple[pd.Series[float], pd.Series[float]]], p_value: float) -> Snapshot:
    with warnings.catch_warnings():
        # Evidently 0.7 touches names that numpy and litestar have since deprecated, all while it is imported.
        warnings.simplefilter("ignore", DeprecationWarning)
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

    definition = DataDefinition(numerical_columns=list(pairs))
    current, baseline = (
        Dataset.from_pandas(
            pd.DataFrame({feature: pair[side] for feature, pair in pairs.items()}), definition
        )
        for side in (0, 1)
    )
    metrics = [ValueDrift(column=feature, method="ks", threshold=p_value) for feature in pairs]
    return Report(metrics, include_tests=True).run(current, baseline)


def _drifted(snapshot: dict[str, Any]) -> tuple[str, ...]:
    """Return the features whose own test failed; tests that Evidently adds by itself are left out."""
    failed = [test["metric_config"]["params"] for test in snapshot["tests"] if test["status"] == "FAIL"]
    return tuple(params["column"] for params in failed if params["type"].endswith(":ValueDrift"))
