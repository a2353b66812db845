"""Prometheus metrics of the router."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from serving.rollout.trial import TrialState

__all__ = ["Metrics"]

_SECONDS = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6)
_DECISIONS = ("undecided", "proven", "withdrawn")


class Metrics:
    """What the router counts, and the trial's state at the moment it is asked for."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._replies = Counter(
            "mome_rollout_replies",
            "Replies that callers got, by who gave them",
            ["backend", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "mome_rollout_reply_seconds",
            "Until a backend's reply was whole or its stream began",
            ["backend"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._rescued = Counter(
            "mome_rollout_rescued",
            "Requests of the candidate that the champion answered",
            registry=self._registry,
        )
        self._buffered = Gauge(
            "mome_rollout_buffered_bytes", "Room that requests in memory have taken", registry=self._registry
        )
        self._sent = self._gauge("sent_requests", "Requests that the candidate was given in this trial")
        self._compared = self._gauge("compared_requests", "Requests whose two replies were compared")
        self._rate = self._gauge("rate", "Of the candidate, by kind", "criterion")
        self._bound = self._gauge("bound", "Above which it is withdrawn, by kind", "criterion")
        self._wer = self._gauge(
            "estimated_wer", "Estimated word error rate of the compared requests, by who wrote", "backend"
        )
        self._decision = self._gauge("decision", "1 for what is decided", "decision")

    def replied(self, backend: str, status: int) -> None:
        """Count a reply that a caller got."""
        self._replies.labels(backend=backend, status=f"{status // 100}xx").inc()

    def heard(self, backend: str, seconds: float) -> None:
        """Count how long a backend took."""
        self._seconds.labels(backend=backend).observe(seconds)

    def rescued(self) -> None:
        """Count a request of the candidate that the champion answered."""
        self._rescued.inc()

    def buffered(self, num_bytes: int) -> None:
        """Show how much room requests take."""
        self._buffered.set(num_bytes)

    def text(self, state: TrialState) -> bytes:
        """Return all of it as Prometheus reads it."""
        self._sent.set(state.sent)
        self._compared.set(state.compared)
        for name, criterion in state.criteria.items():
            self._rate.labels(criterion=name).set(criterion.rate)
            self._bound.labels(criterion=name).set(criterion.bound)
        for backend, rate in state.estimated_wer.items():
            self._wer.labels(backend=backend).set(rate)
        for decision in _DECISIONS:
            self._decision.labels(decision=decision).set(decision == state.decision)
        return generate_latest(self._registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"mome_rollout_{name}", meaning, labels, registry=self._registry)
