"""Prometheus metrics of our own, beside BentoML's: latency per scale, load, refusals, which model it is."""

from __future__ import annotations

from functools import partial

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from mome.bundle import Bundle
from mome.records import ChosenBy, Modality
from mome.registry.history import Version
from mome.scales import Scale

__all__ = ["Metrics"]

# A request of a few seconds of speech takes tens of milliseconds on a GPU and seconds on one CPU core.
_SECONDS = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6)
_RATES = (0.005, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters of one process; BentoML's ``/metrics`` adds up the workers.

    Args:
        registry: Where they are known; a second set in the same process needs another one.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        counter, histogram = partial(Counter, registry=registry), partial(Histogram, registry=registry)
        self._latency = histogram(
            "mome_transcription_seconds",
            "From the request's body in memory to the last token, per compression scale",
            ["scale"],
            buckets=_SECONDS,
        )
        self._chosen = counter(
            "mome_scale_choices",
            "Transcriptions by who chose their scale: the caller, the monitor or their own noise",
            ["scale", "chosen_by"],
        )
        self._first = histogram(
            "mome_first_piece_seconds",
            "From a streamed request's body in memory to the first words of its text",
            buckets=_SECONDS,
        )
        self._wer = histogram(
            "mome_estimated_wer",
            "Word error rate of each transcription, estimated from the decoder's probabilities",
            ["scale", "modality"],
            buckets=_RATES,
        )
        self._batches = histogram(
            "mome_batch_requests",
            "Requests that the model read together",
            buckets=_BATCHES,
        )
        self._waiting = _gauge("mome_waiting_requests", "Requests that wait for the model", registry)
        # What an autoscaler follows: it grows before anybody is refused.
        self._waiting_s = _gauge(
            "mome_waiting_seconds", "Seconds of recordings that wait for the model", registry
        )
        self._in_flight = _gauge(
            "mome_in_flight_requests", "Requests that were let in and are not answered yet", registry
        )
        self._sessions = _gauge("mome_realtime_sessions", "Live sessions that are open", registry)
        self._first_delta = histogram(
            "mome_realtime_first_delta_seconds",
            "From the beginning of an utterance to the first of its words",
            buckets=_SECONDS,
        )
        self._final = histogram(
            "mome_realtime_final_seconds",
            "From the last speech of an utterance, or its commit, to its whole text",
            buckets=_SECONDS,
        )
        self._refusals = counter("mome_refused_requests", "Requests answered with an error", ["code"])
        self._key_requests = counter(
            "mome_key_requests",
            "Requests and live sessions of a key, by its name",
            ["key"],
        )
        self._key_seconds = counter(
            "mome_key_seconds", "Seconds of recordings of a key, by its name", ["key"]
        )
        self._key_refusals = counter(
            "mome_key_refused_requests",
            "Requests of a key that were beyond one of its limits",
            ["key", "limit"],
        )
        self._unlogged = counter("mome_unlogged_requests", "Requests that the request log could not keep")

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

    def answered(
        self,
        scale: Scale,
        modality: Modality,
        seconds: float,
        chosen_by: ChosenBy,
        estimated_wer: float | None,
    ) -> None:
        """Count one transcription."""
        self._latency.labels(scale=str(scale)).observe(seconds)
        self._chosen.labels(scale=str(scale), chosen_by=chosen_by).inc()
        if estimated_wer is not None:
            self._wer.labels(scale=str(scale), modality=modality).observe(estimated_wer)

    def first_piece(self, seconds: float) -> None:
        """Count how long somebody waited for the first words."""
        self._first.observe(seconds)

    def batch(self, requests: int) -> None:
        """Count one batch."""
        self._batches.observe(requests)

    def load(self, *, waiting: int, waiting_s: float, in_flight: int) -> None:
        """Show what waits, and what is not answered yet."""
        self._waiting.set(waiting)
        self._waiting_s.set(waiting_s)
        self._in_flight.set(in_flight)

    def sessions(self, count: int) -> None:
        """Show how many live sessions are open."""
        self._sessions.set(count)

    def first_delta(self, seconds: float) -> None:
        """Count how long the first words of an utterance took."""
        self._first_delta.observe(seconds)

    def final(self, seconds: float) -> None:
        """Count how long the whole text of an utterance took."""
        self._final.observe(seconds)

    def refused(self, code: str) -> None:
        """Count one refusal by its stable word, never by its path: paths are the caller's and endless."""
        self._refusals.labels(code=code).inc()

    def key_request(self, name: str) -> None:
        """Count one request of a key; keys are named, never shown."""
        self._key_requests.labels(key=name).inc()

    def key_seconds(self, name: str, seconds: float) -> None:
        """Count what a key sent."""
        self._key_seconds.labels(key=name).inc(seconds)

    def key_refused(self, name: str, limit: str) -> None:
        """Count one request of a key that was beyond a limit."""
        self._key_refusals.labels(key=name, limit=limit).inc()

    def unlogged(self, count: int) -> None:
        """Count requests that the monitor will never hear of."""
        self._unlogged.inc(count)


def _gauge(name: str, meaning: str, registry: CollectorRegistry) -> Gauge:
    # The sum of the workers that live: what a killed one had, waits no more.
    return Gauge(name, meaning, registry=registry, multiprocess_mode="livesum")
