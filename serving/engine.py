"""One worker's model, and the way of a request through it: decode, measure, transcribe, log."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Protocol, TypeVar

import anyio
import anyio.to_thread
import numpy as np

from mome.bundle import Bundle
from mome.errors import MediaError, UnknownScaleError
from mome.modalities import readings
from mome.records import RequestRecord
from mome.scales import VIDEO_FRAMES_PER_SECOND, Scale
from mome.speech.audio import SAMPLING_RATE
from mome.speech.media import Clip
from mome.speech.mouth import MOUTH_SIZE
from serving.decode import check_scale, decode
from serving.errors import ApiError
from serving.features import Features, measure
from serving.metrics import Metrics
from serving.registry.history import registered_as
from serving.request_log import RequestLog
from serving.scale_source import ScaleSource
from serving.settings import Settings

__all__ = ["Engine", "Recogniser", "StreamedTranscription", "Transcription"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
# Decoding a recording can hold gigabytes of frames for a moment: only so many at a time.
_DECODERS = 2
_CLIENT_CLOSED_REQUEST = 499  # as nginx calls it; HTTP has no word for a caller who left


class Recogniser(Protocol):
    """What the engine needs of `mome.inference.Transcriber`."""

    @property
    def scales(self) -> tuple[Scale, ...]:
        """Scales that the model was trained for."""

    @property
    def max_duration_s(self) -> float:
        """Longest clip that its audio encoder takes."""

    def transcribe(self, clips: Sequence[Clip], scale: Scale) -> list[str]:
        """Return one text per clip."""

    def stream(self, clip: Clip, scale: Scale) -> Generator[str, None, None]:
        """Yield the text of one clip in pieces; closing it ends the work."""


@dataclass(frozen=True, eq=False)
class _Job:
    """One request that can be answered."""

    request_id: str
    clip: Clip
    scale: Scale
    features: Features
    started: float


@dataclass(frozen=True)
class Transcription:
    """One answered request."""

    request_id: str
    text: str
    clip: Clip
    scale: Scale
    features: Features
    latency_ms: float


@dataclass(frozen=True)
class StreamedTranscription:
    """One request that is being answered; ``first`` and ``pieces`` joined are its text.

    The model is taken until ``pieces`` ends or is closed.
    """

    request_id: str
    scale: Scale
    first: str
    pieces: AsyncGenerator[str, None]


class Engine:
    """Answer requests one after the other; each runs at its own scale, so scales never share a batch.

    Args:
        bundle: What is served.
        recogniser: The model of that bundle.
        settings: Limits and addresses.
        metrics: Where latencies and refusals are counted.
    """

    def __init__(self, bundle: Bundle, recogniser: Recogniser, settings: Settings, metrics: Metrics) -> None:
        self.bundle = bundle
        self.settings = settings
        self.metrics = metrics
        self.registered = registered_as(bundle)  # None for a bundle that did not come from a registry
        metrics.serves(bundle, self.registered)
        # A scale needs both: trained weights, and a place in the table that says what it is worth.
        self.scales = tuple(scale for scale in bundle.scales if scale in recogniser.scales)
        self.scale_source = ScaleSource(
            settings.scale_file, default=bundle.default_scale, available=self.scales
        )
        self.max_duration_s = min(settings.max_duration_s, recogniser.max_duration_s)
        self._recogniser = recogniser
        self._requests = RequestLog(settings.request_log)
        self._model_turns = anyio.CapacityLimiter(1)
        self._decoder_turns = anyio.CapacityLimiter(_DECODERS)

    def warm_up(self) -> None:
        """Run one second of quiet noise at every scale, so that no caller waits for first-time work."""
        noise = np.random.default_rng(0).normal(scale=1e-3, size=SAMPLING_RATE).astype(np.float32)
        mouth = None
        if self.bundle.evaluation.modality != "audio":
            mouth = np.full((VIDEO_FRAMES_PER_SECOND, MOUTH_SIZE, MOUTH_SIZE), 128, np.uint8)
        samples = None if self.bundle.evaluation.modality == "video" else noise
        for scale in self.scales:
            self._recogniser.transcribe([Clip(samples, mouth)], scale)

    def choose_scale(self, requested: str | None) -> Scale:
        """Return the scale that the caller asked for, else the one in force.

        Raises:
            ApiError: If the model lacks the scale asked for; the message names those it has.
        """
        if requested is None:
            return self.scale_source.current().scale
        try:
            scale = Scale.parse(requested)
        except UnknownScaleError:
            scale = None
        if scale not in self.scales:
            raise ApiError(
                f"unknown compression_scale {requested!r}; available are {', '.join(map(str, self.scales))}",
                param="compression_scale",
                code="unknown_scale",
            )
        assert scale is not None
        return scale

    async def transcribe(self, files: Mapping[str, bytes], requested_scale: str | None) -> Transcription:
        """Answer one request.

        Raises:
            ApiError: If the recording cannot be used, takes too long to decode, or the model failed.
        """
        job = await self._prepare(files, requested_scale)
        with self._failures(job):
            async with self._model_turns:
                texts = await _in_thread(partial(self._recogniser.transcribe, [job.clip], job.scale))
        latency_ms = self._answered(job)
        return Transcription(job.request_id, texts[0], job.clip, job.scale, job.features, latency_ms)

    async def stream(self, files: Mapping[str, bytes], requested_scale: str | None) -> StreamedTranscription:
        """Answer one request piece by piece; returns when the first piece is there.

        Raises:
            ApiError: As `transcribe` does. A model that fails later raises it out of ``pieces``.
        """
        job = await self._prepare(files, requested_scale)
        pieces = self._pieces(job)
        # What the model itself refuses is refused here, while the reply can still be a 4xx.
        first = await anext(pieces, "")
        return StreamedTranscription(job.request_id, job.scale, first, pieces)

    def close(self) -> None:
        """Close the request log."""
        self._requests.close()

    async def _prepare(self, files: Mapping[str, bytes], requested_scale: str | None) -> _Job:
        started = time.perf_counter()
        scale = self.choose_scale(requested_scale)
        clip = self._usable(await self._decode(files))
        check_scale(clip, scale)
        features = await anyio.to_thread.run_sync(measure, clip, limiter=self._decoder_turns)
        return _Job(uuid.uuid4().hex, clip, scale, features, started)

    async def _pieces(self, job: _Job) -> AsyncGenerator[str, None]:
        # On behalf of the job: another task may end this generator than began it. A whole text is far
        # less than a server buffers for a connection, so a slow reader does not keep the model.
        await self._model_turns.acquire_on_behalf_of(job)
        try:
            pieces = self._recogniser.stream(job.clip, job.scale)
            try:
                with self._failures(job):
                    while (piece := await _in_thread(partial(next, pieces, None))) is not None:
                        yield piece
            except (GeneratorExit, anyio.get_cancelled_exc_class()):
                self._record(job, _CLIENT_CLOSED_REQUEST)
                raise
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(pieces.close)
        finally:
            self._model_turns.release_on_behalf_of(job)
        self._answered(job)

    @contextmanager
    def _failures(self, job: _Job) -> Iterator[None]:
        """Turn what the model raises into an answer."""
        try:
            yield
        except MediaError as error:  # the model knows limits of its own
            raise ApiError(str(error), param="file", code="unusable_media") from error
        except Exception as error:
            _log.exception("request %s failed at scale %s", job.request_id, job.scale)
            self._record(job, 500)
            raise ApiError(
                f"the model failed on request {job.request_id}", status=500, code="transcription_failed"
            ) from error

    def _answered(self, job: _Job) -> float:
        latency_ms = self._record(job, 200)
        self.metrics.answered(job.scale, latency_ms / 1000)
        return latency_ms

    async def _decode(self, files: Mapping[str, bytes]) -> Clip:
        limit_s = self.settings.decode_timeout_s
        try:
            async with self._decoder_turns:
                with anyio.fail_after(limit_s):
                    # A thread cannot be stopped: it is left to end by itself, the caller is not kept waiting.
                    return await anyio.to_thread.run_sync(
                        lambda: decode(files, max_duration_s=self.max_duration_s),
                        abandon_on_cancel=True,
                    )
        except TimeoutError:
            raise ApiError(
                f"decoding took longer than {limit_s:g} s; send a shorter or smaller recording",
                param="file",
                code="decode_timeout",
            ) from None

    def _usable(self, clip: Clip) -> Clip:
        """Drop what the model was not trained to read; refuse a clip of which nothing is left."""
        known = self.bundle.evaluation.wer
        reads = readings(known, clip.modality)
        if reads:
            return clip.only(reads[0])
        raise ApiError(
            f"this model was not made for {clip.modality} recordings; it takes {', '.join(known)}",
            param="file",
            code="unsupported_modality",
        )

    def _record(self, job: _Job, status: int) -> float:
        latency_ms = (time.perf_counter() - job.started) * 1000
        self._requests.append(
            RequestRecord(
                request_id=job.request_id,
                at=datetime.now(UTC),
                scale=str(job.scale),
                modality=job.clip.modality,
                duration_s=job.clip.duration_s,
                latency_ms=latency_ms,
                snr_db=job.features.snr_db,
                snr_confident=job.features.snr_confident,
                noise_kind=job.features.noise_kind,
                noise_confidence=job.features.noise_confidence,
                level_db=job.features.level_db,
                speech_share=job.features.speech_share,
                mouth_sharpness=job.features.mouth_sharpness,
                status=status,
            )
        )
        return latency_ms


async def _in_thread(work: Callable[[], _T]) -> _T:
    """Run a step of the model in a thread, and be there until it ends.

    BentoML cancels a request that takes too long, past anyio's shield, and the thread goes on: whoever
    left early would hand over a model that is still at work.
    """
    at_work = threading.Lock()

    def run() -> _T:
        with at_work:
            return work()

    try:
        return await anyio.to_thread.run_sync(run)
    except anyio.get_cancelled_exc_class():
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(at_work.acquire)
        at_work.release()
        raise
