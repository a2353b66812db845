"""What Prometheus is told about the controller."""

from __future__ import annotations

import math
from functools import partial

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
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        self._looks = counter("mome_monitor_looks", "Looks by what they came to.", ["outcome"])
        self.changes = counter("mome_monitor_changes", "How often the noise was called another.")
        self.errors = counter("mome_monitor_errors", "Turns in which something could not be read or written.")
        self.leads = gauge("mome_monitor_leads", "1 while this controller holds the lease.")
        self.evidence = gauge("mome_monitor_change_evidence", "Of another noise; an alarm at 1.")
        self.run_length = gauge("mome_monitor_run_length", "Requests between two false alarms, as set.")
        self._looked = gauge("mome_monitor_last_look_seconds", "Time of the last look.")
        self._tokens = gauge("mome_monitor_tokens_per_second", "Of speech, at the served scale.")
        self._noise = gauge(
            "mome_monitor_noise_share",
            "Share of the window by column of the table.",
            ["column"],
        )
        self._wer = gauge("mome_monitor_expected_wer", "Expected word error rate.", ["scale"])
        self._estimated = gauge(
            "mome_monitor_estimated_wer",
            "Word error rate of the window's requests, by the decoder's probabilities.",
            ["scale"],
        )
        self._as_expected = gauge(
            "mome_monitor_as_expected",
            "1 while the table describes the traffic, 0 while it does not; NaN before anybody can say.",
        )
        self._as_expected.set(math.nan)
        self._taken_back = counter(
            "mome_monitor_taken_back", "Switches to a coarser scale that were taken back."
        )
        self._promise = gauge("mome_monitor_max_wer", "Promised word error rate.", ["modality"])
        self._switches = counter(
            "mome_monitor_switches",
            "Switches of the scale by what asked for them.",
            ["cause"],
        )
        self._busy = gauge("mome_monitor_busy", "1 while the load decides for a coarser scale.")
        self._latency = gauge("mome_monitor_latency_p95_seconds", "Of the last seconds, with the wait.")
        self._waited = gauge("mome_monitor_waited_p95_seconds", "Of that, before the model began.")
        self._drifted = gauge("mome_monitor_drifted_features", "Features that differ from the baseline.")

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
        if decision.promise is not None:
            for modality, rate in decision.promise.max_wer.items():
                self._promise.labels(modality).set(rate)
        if decision.max_wer is None:
            return  # it saw too little to say anything of the noise: what was known stays
        self._noise.clear()
        for column, share in decision.noise.items():
            self._noise.labels(column).set(share)
        for scale, rate in decision.expected_wer.items():
            self._wer.labels(scale).set(rate)
