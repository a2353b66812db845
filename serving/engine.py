"""One worker's model, and the way of a request through it: let in, decode, read in a batch, log."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import numpy as np

from mome.bundle import Bundle
from mome.errors import MediaError, UnknownScaleError
from mome.reading import Kept, Listener, Reading, Text
from mome.records import RequestRecord
from mome.scales import VIDEO_FRAMES_PER_SECOND, Scale
from mome.speech.audio import SAMPLING_RATE
from mome.speech.media import Clip
from mome.speech.mouth import MOUTH_SIZE
from serving.admission import Admission, Place
from serving.batcher import Batcher, Job
from serving.decode import Upload
from serving.decoders import Decoders
from serving.errors import ApiError
from serving.features import Features
from serving.last_hour import LastHour
from serving.metrics import Metrics
from serving.registry.history import registered_as
from serving.request_log import RequestLog
from serving.scale_source import ScaleSource
from serving.settings import Settings

__all__ = ["Engine", "Recogniser", "StreamedTranscription", "Transcription"]

_log = logging.getLogger(__name__)
_CLIENT_CLOSED_REQUEST = 499  # as nginx calls it; HTTP has no word for a caller who left


class Recogniser(Protocol):
    """What the engine needs of `mome.inference.Transcriber`."""

    @property
    def scales(self) -> tuple[Scale, ...]:
        """Scales that the model was trained for."""

    @property
    def max_duration_s(self) -> float:
        """Longest clip that its audio encoder takes."""

    def read(self, readings: Sequence[Reading], listeners: Sequence[Listener]) -> None:
        """Give each listener the text of its reading."""


@dataclass(frozen=True, eq=False)
class _Request:
    """One request that can be answered."""

    request_id: str
    clip: Clip
    scale: Scale
    features: Features
    started: float


@dataclass(frozen=True)
class Transcription:
    """One answered request; ``cut`` if the text has more words than its budget of tokens allows."""

    request_id: str
    text: str
    cut: bool
    clip: Clip
    scale: Scale
    features: Features
    latency_ms: float


@dataclass(frozen=True)
class StreamedTranscription:
    """One request that is being answered: ``first`` and then ``pieces`` are the text so far, ever longer.

    The last one is the whole `Text`. Closing ``pieces`` ends the work.
    """

    request_id: str
    scale: Scale
    first: str | Text
    pieces: AsyncGenerator[str | Text, None]


class Engine:
    """Answer requests: those that wait are read together, whatever their scales.

    Args:
        bundle: What is served.
        recogniser: The model of that bundle.
        decoders: Decode recordings; closed by whoever made them.
        settings: Limits and addresses.
        metrics: Where latencies, load and refusals are counted.
    """

    def __init__(
        self,
        bundle: Bundle,
        recogniser: Recogniser,
        decoders: Decoders,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
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
        self.admission = Admission(settings.max_waiting_s, self.max_duration_s, metrics)
        self._recogniser = recogniser
        self.decoders = decoders
        self.last_hour = LastHour()
        self._requests = RequestLog(settings.request_log)
        self._batcher = Batcher(
            recogniser,
            max_jobs=settings.max_batch,
            max_batch_s=settings.max_batch_s,
            coming=lambda: self.admission.coming,
            taken=metrics.batch,
        )

    def warm_up(self) -> None:
        """Run one second of quiet noise at every scale, so that no caller waits for first-time work."""
        noise = np.random.default_rng(0).normal(scale=1e-3, size=SAMPLING_RATE).astype(np.float32)
        mouth = None
        if self.bundle.evaluation.modality != "audio":
            mouth = np.full((VIDEO_FRAMES_PER_SECOND, MOUTH_SIZE, MOUTH_SIZE), 128, np.uint8)
        samples = None if self.bundle.evaluation.modality == "video" else noise
        for scale in self.scales:
            self._recogniser.read([Reading(Clip(samples, mouth), scale)], [Kept()])

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

    async def transcribe(
        self, files: Mapping[str, bytes], requested_scale: str | None, request_id: str | None = None
    ) -> Transcription:
        """Answer one request.

        Args:
            files: Name -> bytes of what was sent.
            requested_scale: None for the one in force.
            request_id: For the logs; None makes one up.

        Raises:
            ApiError: If too much waits already, the recording cannot be used, or the model failed.
        """
        request_id = request_id or uuid.uuid4().hex
        scale = self.choose_scale(requested_scale)
        with self.admission.place(_size(files)) as place:
            request = await self._prepare(files, scale, request_id, place)
            text = Text("", cut=False)
            if not request.features.silent:
                with self._waiting(request, place, live=False) as job:
                    text = await job.text()
            latency_ms = self._answered(request)
        return Transcription(
            request_id, text.text, text.cut, request.clip, request.scale, request.features, latency_ms
        )

    async def stream(
        self, files: Mapping[str, bytes], requested_scale: str | None, request_id: str | None = None
    ) -> StreamedTranscription:
        """Answer one request piece by piece; returns when the first words are there.

        Args:
            files: As for `transcribe`.
            requested_scale: Likewise.
            request_id: Likewise.

        Raises:
            ApiError: As `transcribe` does. A model that fails later raises it out of ``pieces``.
        """
        request_id = request_id or uuid.uuid4().hex
        scale = self.choose_scale(requested_scale)
        pieces = self._pieces(files, scale, request_id)
        # What is refused is refused here, while the reply can still be a 4xx.
        first = await anext(pieces)
        return StreamedTranscription(request_id, scale, first, pieces)

    async def read(self, clip: Clip, scale: Scale) -> Text:
        """Read a clip that is decoded already; whoever asks measures it, and records it where it counts.

        Raises:
            ApiError: If too much waits already, or the clip is not for this model.
        """
        with self.admission.place(0) as place:
            place.decoded(clip.duration_s)
            job = Job(Reading(clip.filled(scale), scale), live=False, began=place.began)
            self._batcher.put(job)
            try:
                return await job.text()
            except MediaError as error:
                raise ApiError(str(error), code="unusable_media") from error
            finally:
                job.leave()

    def record(self, done: Transcription, status: int) -> None:
        """Write a clip that was read so into the request log, and count it."""
        self._log(done, status)
        if status == 200:
            self.metrics.answered(done.scale, done.latency_ms / 1000)

    def close(self) -> None:
        """End the model's thread and close the request log."""
        self._batcher.close()
        self._requests.close()

    async def _prepare(
        self, files: Mapping[str, bytes], scale: Scale, request_id: str, place: Place
    ) -> _Request:
        started = time.perf_counter()
        known = tuple(self.bundle.evaluation.wer)
        upload = Upload(files, self.scales, known, self.max_duration_s)
        decoded = await self.decoders.decode(upload, request_id)
        place.decoded(decoded.clip.duration_s)
        return _Request(request_id, decoded.clip, scale, decoded.features, started)

    async def _pieces(
        self, files: Mapping[str, bytes], scale: Scale, request_id: str
    ) -> AsyncGenerator[str | Text, None]:
        with self.admission.place(_size(files)) as place:
            request = await self._prepare(files, scale, request_id, place)
            if request.features.silent:
                self._answered(request)
                yield Text("", cut=False)
                return
            is_first = True
            with self._waiting(request, place, live=True) as job:
                news: str | Text = ""
                while not isinstance(news, Text):
                    news = await job.news()
                    if is_first:
                        self.metrics.first_piece(time.perf_counter() - request.started)
                        is_first = False
                    if isinstance(news, Text):
                        self._answered(request)
                        job.leave()
                    yield news

    @contextmanager
    def _waiting(self, request: _Request, place: Place, *, live: bool) -> Iterator[Job]:
        """Let a request wait for the model, and turn what the model raises into an answer."""
        clip = request.clip.filled(request.scale)
        job = Job(Reading(clip, request.scale), live=live, began=place.began)
        self._batcher.put(job)
        try:
            yield job
        except MediaError as error:  # the model knows limits of its own
            raise ApiError(str(error), param="file", code="unusable_media") from error
        except Exception as error:
            _log.error("request %s failed at scale %s", request.request_id, request.scale, exc_info=error)
            self._record(request, 500)
            raise ApiError(
                f"the model failed on request {request.request_id}", status=500, code="transcription_failed"
            ) from error
        except BaseException:  # cancelled or closed: the caller left, or waited too long
            if not job.gone:
                self._record(request, _CLIENT_CLOSED_REQUEST)
            raise
        finally:
            job.leave()

    def _answered(self, request: _Request) -> float:
        latency_ms = self._record(request, 200)
        self.metrics.answered(request.scale, latency_ms / 1000)
        return latency_ms

    def _record(self, request: _Request, status: int) -> float:
        latency_ms = (time.perf_counter() - request.started) * 1000
        done = Transcription(
            request.request_id, "", False, request.clip, request.scale, request.features, latency_ms
        )
        self._log(done, status)
        return latency_ms

    def _log(self, done: Transcription, status: int) -> None:
        record = _record(done, status)
        self._requests.append(record)
        if status == 200:
            self.last_hour.add(record)


def _record(done: Transcription, status: int) -> RequestRecord:
    return RequestRecord(
        request_id=done.request_id,
        at=datetime.now(UTC),
        scale=str(done.scale),
        modality=done.clip.modality,
        duration_s=done.clip.duration_s,
        latency_ms=done.latency_ms,
        snr_db=done.features.snr_db,
        snr_confident=done.features.snr_confident,
        noise_kind=done.features.noise_kind,
        noise_confidence=done.features.noise_confidence,
        level_db=done.features.level_db,
        speech_share=done.features.speech_share,
        mouth_sharpness=done.features.mouth_sharpness,
        status=status,
    )


def _size(files: Mapping[str, bytes]) -> int:
    return sum(map(len, files.values()))
