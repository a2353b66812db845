"""What Prometheus is told about the controller."""

from __future__ import annotations

import math

from prometheus_client import CollectorRegistry, Counter, Gauge

from mome.records import Load, ScaleDecision
from mome.scales import Scale

__all__ = ["Metrics"]


class Metrics:
    """Gauges and counters of one controller.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._looks = Counter(
            "mome_monitor_looks", "Looks by what they came to.", ["outcome"], registry=registry
        )
        self.changes = Counter(
            "mome_monitor_changes", "How often the noise was called another.", registry=registry
        )
        self.errors = Counter(
            "mome_monitor_errors", "Turns in which something could not be read or written.", registry=registry
        )
        self.leads = Gauge(
            "mome_monitor_leads", "1 while this controller holds the lease.", registry=registry
        )
        self.evidence = Gauge(
            "mome_monitor_change_evidence", "Of another noise; an alarm at 1.", registry=registry
        )
        self.run_length = Gauge(
            "mome_monitor_run_length", "Requests between two false alarms, as set.", registry=registry
        )
        self._looked = Gauge("mome_monitor_last_look_seconds", "Time of the last look.", registry=registry)
        self._tokens = Gauge(
            "mome_monitor_tokens_per_second", "Of speech, at the served scale.", registry=registry
        )
        self._noise = Gauge(
            "mome_monitor_noise_share",
            "Share of the window by column of the table.",
            ["column"],
            registry=registry,
        )
        self._wer = Gauge(
            "mome_monitor_expected_wer", "Expected word error rate.", ["scale"], registry=registry
        )
        self._estimated = Gauge(
            "mome_monitor_estimated_wer",
            "Word error rate of the window's requests, by the decoder's probabilities.",
            ["scale"],
            registry=registry,
        )
        self._as_expected = Gauge(
            "mome_monitor_as_expected",
            "1 while the table describes the traffic, 0 while it does not; NaN before anybody can say.",
            registry=registry,
        )
        self._as_expected.set(math.nan)
        self._taken_back = Counter(
            "mome_monitor_taken_back", "Switches to a coarser scale that were taken back.", registry=registry
        )
        self._promise = Gauge("mome_monitor_max_wer", "Promised word error rate.", registry=registry)
        self._switches = Counter(
            "mome_monitor_switches",
            "Switches of the scale by what asked for them.",
            ["cause"],
            registry=registry,
        )
        self._busy = Gauge(
            "mome_monitor_busy", "1 while the load decides for a coarser scale.", registry=registry
        )
        self._latency = Gauge(
            "mome_monitor_latency_p95_seconds", "Of the last seconds, with the wait.", registry=registry
        )
        self._waited = Gauge(
            "mome_monitor_waited_p95_seconds", "Of that, before the model began.", registry=registry
        )
        self._drifted = Gauge(
            "mome_monitor_drifted_features", "Features that differ from the baseline.", registry=registry
        )

    def show_load(self, load: Load | None) -> None:
        """Show how busy the service is, where that is looked at; without requests the latency stays."""
        if load is None:
            return
        self._busy.set(load.busy)
        if load.p95_ms is not None:
            self._latency.set(load.p95_ms / 1000)
        if load.waited_p95_ms is not None:
            self._waited.set(load.waited_p95_ms / 1000)

    def look(self, decision: ScaleDecision) -> None:
        """Count a look, and show what it saw."""
        outcome = decision.reason.split()[0].rstrip(":;,")
        known = ("keep", "hold", "finer", "coarser", "pinned", "stopped", "dry")
        self._looks.labels(outcome if outcome in known else "other").inc()
        if decision.switched:
            self._switches.labels(decision.cause or "order").inc()
        self._looked.set(decision.at.timestamp())
        self._tokens.set(Scale.parse(decision.scale).tokens_per_second)
        self._drifted.set(len(decision.drifted))
        self._taken_back.inc(decision.switched and decision.taken_back is not None)
        if decision.as_expected is not None:
            self._as_expected.set(decision.as_expected)
        if decision.estimated_wer:
            self._estimated.clear()
        for scale, rate in decision.estimated_wer.items():
            self._estimated.labels(scale).set(rate)
        if decision.max_wer is None:
            return  # it saw too little to say anything of the noise: what was known stays
        self._promise.set(decision.max_wer)
        self._noise.clear()
        for column, share in decision.noise.items():
            self._noise.labels(column).set(share)
        for scale, rate in decision.expected_wer.items():
            self._wer.labels(scale).set(rate)
