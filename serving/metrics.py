"""Prometheus metrics of our own, beside BentoML's: latency per scale, refusals, and which model it is."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from mome.bundle import Bundle
from mome.scales import Scale
from serving.registry.history import Version

__all__ = ["Metrics"]

# A request of a few seconds of speech takes tens of milliseconds on a GPU and seconds on one CPU core.
_SECONDS = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6)


class Metrics:
    """Counters of one process; BentoML's ``/metrics`` adds up the workers.

    Args:
        registry: Where they are known; a second set in the same process needs another one.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._latency = Histogram(
            "mome_transcription_seconds",
            "From the request's body in memory to the last token, per compression scale",
            ["scale"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._refusals = Counter(
            "mome_refused_requests", "Requests answered with an error", ["code"], registry=registry
        )

        self._model = Gauge(
            "mome_model_info",
            "Always 1; the labels say which model is served and where it comes from",
            ["name", "version", "corpus", "revision", "code", "run"],
            multiprocess_mode="max",  # one line for all workers; an Info cannot be had from several
            registry=registry,
        )

    def serves(self, bundle: Bundle, registered: Version | None) -> None:
        """Say which model is served."""
        self._model.labels(
            name=bundle.name,
            version=bundle.version,
            corpus=bundle.evaluation.corpus,
            revision=bundle.evaluation.revision,
            code="" if registered is None else registered.lineage.code,
            run="" if registered is None else registered.lineage.run,
        ).set(1)

    def answered(self, scale: Scale, seconds: float) -> None:
        """Count one transcription."""
        self._latency.labels(scale=str(scale)).observe(seconds)

    def refused(self, code: str) -> None:
        """Count one refusal by its stable word, never by its path: paths are the caller's and endless."""
        self._refusals.labels(code=code).inc()
