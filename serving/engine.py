"""One worker's model, and the way of a request through it: let in, decode, read in a batch, log."""

from __future__ import annotations

import logging
import time
import uuid
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np

from mome.bundle import Bundle
from mome.errors import MediaError, UnknownScaleError
from mome.estimated_wer import WerEstimator, together
from mome.reading import Kept, Listener, Reading, Standing, Text, Token, Word
from mome.records import MODALITY_NAMES, ChosenBy, Decoding, Modality, RequestRecord
from mome.registry.history import registered_as
from mome.scales import VIDEO_FRAMES_PER_SECOND, Scale
from mome.speech.audio import SAMPLING_RATE
from mome.speech.media import Clip
from mome.speech.mouth import MOUTH_SIZE
from serving.admission import Admission, Place
from serving.batcher import Batcher, Job
from serving.decode import PART_S, Decoded, Piece, Upload
from serving.decoders import Decoders
from serving.errors import ApiError
from serving.features import Features, logged, whole
from serving.last_hour import LastHour
from serving.metrics import Metrics
from serving.own_scale import AUTO, OwnScale, Wish
from serving.quotas import Quotas
from serving.request_log import RequestLog
from serving.scale_source import ScaleSource
from serving.settings import Settings

__all__ = ["Begun", "Engine", "News", "Recogniser", "Segment", "Transcription", "complete"]

_log = logging.getLogger(__name__)
_CLIENT_CLOSED_REQUEST = 499  # as nginx calls it; HTTP has no word for a caller who left
_WAITING_BATCHES = 3  # of a long recording: with less, what is left of a part would be a batch of its own


class Recogniser(Protocol):
    """What the engine needs of `mome.inference.Transcriber`."""

    @property
    def scales(self) -> tuple[Scale, ...]:
        """Scales that the model was trained for."""

    @property
    def max_duration_s(self) -> float:
        """Longest clip that its audio encoder takes."""

    @property
    def decoding(self) -> Decoding:
        """How it writes texts."""

    def times(self, modality: Modality) -> bool:
        """Tell whether it can say when each word of such a clip is said."""

    def read(self, readings: Sequence[Reading], listeners: Sequence[Listener]) -> None:
        """Give each listener the text of its reading."""


@dataclass(eq=False)
class _Request:
    """One request that was let in, and what is known of it so far."""

    request_id: str
    wish: Wish
    started: float
    timed: bool
    heard: Callable[[float], None] | None
    duration_s: float = 0.0
    waited_s: Callable[[], float | None] = lambda: None
    # With the seconds of each piece: what it is read at, and what was measured on it.
    own: list[tuple[float, Wish]] = field(default_factory=list)
    measured: list[tuple[float, Modality, Features]] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    is_recorded: bool = False
    has_said: bool = False

    @property
    def read_at(self) -> Wish:
        """The scale of most of it, and who chose that."""
        counts: Counter[Wish] = Counter()
        for seconds, wish in self.own:
            counts[wish] += seconds  # type: ignore[assignment]  # typeshed counts in whole numbers
        if counts:
            return max(counts, key=lambda wish: counts[wish])
        return self.wish if self.wish.chosen_by == "caller" else Wish(self.wish.scale, "published")


@dataclass(frozen=True)
class Segment:
    """One piece of a recording that was read.

    Args:
        start_s: When it begins.
        end_s: When it ends.
        said: What was said; empty where nobody speaks.
        features: What was measured on it.
        modality: What was read.
        num_tokens: That the language model was given of it.
        scale: At which it was read.
    """

    start_s: float
    end_s: float
    said: Text
    features: Features
    modality: Modality
    num_tokens: int
    scale: Scale


@dataclass(frozen=True)
class Transcription:
    """One answered request; a recording that the model takes at once is one segment.

    Args:
        request_id: As in the logs.
        segments: In order.
        duration_s: Of the recording.
        modality: What was read, in most of it.
        scale: At which, most of it.
        features: What was measured on all of it.
        latency_ms: From the body in memory to the last word.
        estimated_wer: Word error rate, from how sure the decoder was; None without words or a calibration.
        chosen_by: Who chose that scale.
        waited_ms: How much of that it waited for the model; None for long recordings and live speech.
    """

    request_id: str
    segments: tuple[Segment, ...]
    duration_s: float
    modality: Modality
    scale: Scale
    features: Features
    latency_ms: float
    estimated_wer: float | None
    chosen_by: ChosenBy = "published"
    waited_ms: float | None = None

    @property
    def text(self) -> str:
        """All that was said."""
        return " ".join(segment.said.text for segment in self.segments if segment.said.text)

    @property
    def words(self) -> list[Word]:
        """When each word is said, where that was asked."""
        # A clip that is shorter than a token was read with silence behind it.
        return [
            word.later(segment.start_s).within(segment.end_s)
            for segment in self.segments
            for word in segment.said.words
        ]

    @property
    def tokens(self) -> tuple[Token, ...]:
        """Those of all segments; their texts together are the text."""
        joined = Standing()
        for segment in self.segments:
            joined = joined.then(segment.said)
        return joined.tokens

    @property
    def cut(self) -> bool:
        """Whether somewhere there are more words than a budget of tokens allows."""
        return any(segment.said.cut for segment in self.segments)


@dataclass(frozen=True)
class Begun:
    """A request that was let in and whose recording can be read.

    Args:
        request_id: As in the logs.
        scale: At which its beginning is read.
        of_s: How long it is, as far as is known.
    """

    request_id: str
    scale: Scale
    of_s: float | None


# What happens to a request, in this order: it began; the text so far, ever longer, and segments that are
# done; all of it.
News: TypeAlias = Begun | Standing | Segment | Transcription


async def complete(answer: AsyncGenerator[News, None]) -> Transcription:
    """Wait for all that an answer says, and return it.

    Raises:
        ApiError: As `Engine.answer`.
    """
    async with aclosing(answer):
        async for news in answer:
            if isinstance(news, Transcription):
                return news
    raise AssertionError("an answer ends with a transcription")


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
        self.scales = bundle.readable(recogniser.scales)
        self.decoding = recogniser.decoding
        self.timed = tuple(modality for modality in bundle.evaluation.wer if recogniser.times(modality))
        self.scale_source = ScaleSource(
            settings.scale_file, default=bundle.default_scale, available=self.scales
        )
        self._own_scale = OwnScale(bundle.evaluation, self.scales, bundle.promise)
        self.max_duration_s = recogniser.max_duration_s  # of what is read at once
        self._good_s = bundle.evaluation.utterance_s or self.max_duration_s
        self.admission = Admission(
            settings.max_waiting_s, min(settings.max_duration_s, PART_S), settings.max_long, metrics
        )
        self._recogniser = recogniser
        self.decoders = decoders
        self.quotas = Quotas(settings.api_keys, metrics)
        self.last_hour = LastHour()
        self.gave_up = False  # the service ends, and what is not answered will not be
        self._waited_for: set[Job] = set()
        self._wer = WerEstimator(bundle.evaluation)
        self._requests = RequestLog(settings.request_log, metrics.unlogged)
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
            self._recogniser.read([Reading(Clip(samples, mouth).filled(scale), scale)], [Kept()])

    def choose_scale(self, requested: str | None) -> Wish:
        """Return the scale that the caller asked for, else what the settings say.

        Raises:
            ApiError: If the model lacks the scale asked for; the message names those it has.
        """
        requested = requested or (AUTO if self.settings.default_scale == "auto" else None)
        if requested in (None, AUTO):
            published = self.scale_source.current().scale
            return Wish(published, "published" if requested is None else "auto")
        try:
            scale = Scale.parse(requested)
        except UnknownScaleError:
            scale = None
        if scale not in self.scales:
            raise ApiError(
                f"unknown compression_scale {requested!r}; available are {', '.join(map(str, self.scales))}"
                f" and {AUTO}",
                param="compression_scale",
                code="unknown_scale",
            )
        assert scale is not None
        return Wish(scale, "caller")

    def own_scale(self, wish: Wish, measured: tuple[Modality, Features] | None) -> Wish:
        """Return what is read at which scale: what was wished, or for ``auto`` what its noise asks for.

        Args:
            wish: As `choose_scale` returned it.
            measured: What the clip is and what was measured on it; None if nothing was yet.
        """
        if wish.chosen_by != "auto":
            return wish
        served = self.scale_source.current()
        chosen = None if measured is None else self._own_scale.choose(served, *measured)
        return Wish(wish.scale, "published") if chosen is None else Wish(chosen, "auto")

    async def answer(
        self,
        files: Mapping[str, bytes | Path],
        requested_scale: str | None,
        request_id: str | None = None,
        heard: Callable[[float], None] | None = None,
        *,
        live: bool,
        timed: bool = False,
        is_job: bool = False,
    ) -> AsyncGenerator[News, None]:
        """Answer one request, and say how it goes; closing the generator ends the work.

        Args:
            files: Name -> bytes of what was sent, or the file that they are in.
            requested_scale: None for what the settings say.
            request_id: For the logs; None makes one up.
            heard: Told how many seconds were decoded, as they are.
            live: Whether texts are wanted while they are written.
            timed: Whether it is wanted when each word is said.
            is_job: It waits for nobody's reply, and is let in whatever waits.

        Raises:
            ApiError: If too much waits already, the recording cannot be used, or the model failed.
        """
        request = _Request(
            request_id or uuid.uuid4().hex,
            self.choose_scale(requested_scale),
            time.perf_counter(),
            timed=timed,
            heard=heard,
        )
        known = tuple(self.bundle.evaluation.wer)
        upload = Upload(
            files,
            self.scales,
            known,
            self.max_duration_s,
            self._good_s,
            self.settings.max_duration_s,
            self.bundle.face_models,
        )
        num_bytes = sum(map(_size, files.values()))
        with self.admission.place(num_bytes, is_job=is_job) as place, self._recorded(request):
            request.waited_s = lambda: place.waited_s
            async with aclosing(self.decoders.decode(upload, request.request_id)) as parts:
                part = await anext(parts)
                if timed:
                    self._check_times(part)
                if part.ended:
                    place.decoded(part.until_s)
                else:
                    place.is_long(part.of_s or num_bytes / self.admission.bytes_per_s)
                waiting = self._begin(request, part, place, live=live)
                yield Begun(request.request_id, request.read_at.scale, part.of_s)
                try:
                    async for news in self._read(request, part, parts, waiting, place, live=live):
                        yield news
                finally:
                    for _, job in waiting:
                        if job is not None:
                            job.leave()
            yield self._answered(request)

    def give_up(self) -> None:
        """Say to whoever still waits for a recording that the service ends before it is read."""
        self.gave_up = True
        for job in self._waited_for:
            job.failed(self._unfinished())

    def _unfinished(self) -> ApiError:
        elsewhere = "" if self.settings.jobs is None else "; as a job it would outlast the service"
        return ApiError(
            f"the service ended before the recording was read; send it again{elsewhere}",
            status=503,
            code="shutting_down",
            headers={"Retry-After": "1"},
        )

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
            self._count(done)

    def estimated_wer(self, segments: Sequence[Segment]) -> float | None:
        """Return the estimated word error rate of segments, weighted by their words."""
        return together(
            (
                self._wer.estimate(
                    each.said, each.modality, each.scale, each.features.snr_db, each.features.noise_kind
                ),
                len(each.said.text.split()),
            )
            for each in segments
        )

    def close(self) -> None:
        """End the model's thread and close the request log."""
        self._batcher.close()
        self._requests.close()

    async def _read(
        self,
        request: _Request,
        part: Decoded,
        parts: AsyncGenerator[Decoded, None],
        waiting: deque[tuple[Piece, Job | None]],
        place: Place,
        *,
        live: bool,
    ) -> AsyncGenerator[Standing | Segment, None]:
        """Give the texts of a recording in order; its pieces are read in batches with everybody else's."""
        so_far = Standing()
        while waiting or not part.ended:
            if self.gave_up:
                self._record(request, 503)
                raise self._unfinished()
            # The next batch is full, and of one recording there are never more than these and a part.
            if len(waiting) <= _WAITING_BATCHES * self.settings.max_batch and not part.ended:
                part = await anext(parts)
                waiting += self._begin(request, part, place, live=live)
                continue
            piece, job = waiting[0]
            said = Text("", cut=False)
            if job is not None:
                news: Standing | Text = Standing()
                while not isinstance(news, Text):
                    news = await self._news(job, request)
                    if live and not request.has_said:
                        self.metrics.first_piece(time.perf_counter() - request.started)
                        request.has_said = True
                    if isinstance(news, Standing):
                        yield so_far.then(news)
                said = news
                if live:
                    so_far = so_far.then(said)
                if live and said.text:
                    yield so_far
            waiting.popleft()
            end_s = piece.start_s + piece.clip.duration_s
            scale = request.wish.scale if job is None else job.reading.scale
            num_tokens = 0 if job is None else piece.clip.num_tokens(scale)
            segment = Segment(
                piece.start_s, end_s, said, piece.features, piece.clip.modality, num_tokens, scale
            )
            request.segments.append(segment)
            place.read(piece.clip.duration_s)
            yield segment

    def _check_times(self, part: Decoded) -> None:
        for modality in {piece.clip.modality for piece in part.pieces} - set(self.timed):
            raise ApiError(
                f"the model gives no word times of {MODALITY_NAMES[modality]}",
                param="timestamp_granularities[]",
                code="unsupported_value",
            )

    def _begin(
        self, request: _Request, part: Decoded, place: Place, *, live: bool
    ) -> deque[tuple[Piece, Job | None]]:
        """Let the pieces of a part wait for the model; it is not asked where nobody speaks."""
        if request.heard is not None:
            request.heard(part.until_s - request.duration_s)
        request.duration_s = part.until_s
        request.measured += [
            (piece.clip.duration_s, piece.clip.modality, piece.features) for piece in part.pieces
        ]
        begun: deque[tuple[Piece, Job | None]] = deque()
        for piece in part.pieces:
            job = None
            if not piece.features.silent:
                own = self.own_scale(request.wish, (piece.clip.modality, piece.features))
                request.own.append((piece.clip.duration_s, own))
                reading = Reading(piece.clip.filled(own.scale), own.scale, request.timed)
                job = Job(reading, live=live, began=place.began, of=request)
                self._batcher.put(job)
            begun.append((piece, job))
        return begun

    async def _news(self, job: Job, request: _Request) -> Standing | Text:
        """Wait for what a job says next, and turn what the model raises into an answer."""
        self._waited_for.add(job)
        try:
            return await job.news()
        except ApiError:
            self._record(request, 503)
            raise
        except MediaError as error:  # the model knows limits of its own
            raise ApiError(str(error), param="file", code="unusable_media") from error
        except Exception as error:
            scale = job.reading.scale
            _log.error("request %s failed at scale %s", request.request_id, scale, exc_info=error)
            self._record(request, 500)
            raise ApiError(
                f"the model failed on request {request.request_id}", status=500, code="transcription_failed"
            ) from error
        finally:
            self._waited_for.discard(job)

    @contextmanager
    def _recorded(self, request: _Request) -> Iterator[None]:
        """Record a caller who left, or waited too long, while the recording was read."""
        try:
            yield
        except Exception:
            raise
        except BaseException:  # cancelled or closed
            if request.duration_s and not request.is_recorded:
                self._record(request, _CLIENT_CLOSED_REQUEST)
            raise

    def _answered(self, request: _Request) -> Transcription:
        done = self._record(request, 200)
        self._count(done)
        return done

    def _count(self, done: Transcription) -> None:
        seconds = done.latency_ms / 1000
        self.metrics.answered(done.scale, done.modality, seconds, done.chosen_by, done.estimated_wer)

    def _record(self, request: _Request, status: int) -> Transcription:
        request.is_recorded = True
        scale, chosen_by = request.read_at
        waited_s = request.waited_s()
        done = Transcription(
            request_id=request.request_id,
            segments=tuple(request.segments),
            duration_s=request.duration_s,
            modality=_most(request.measured),
            scale=scale,
            features=whole([(seconds, features) for seconds, _, features in request.measured]),
            latency_ms=(time.perf_counter() - request.started) * 1000,
            estimated_wer=self.estimated_wer(request.segments),
            chosen_by=chosen_by,
            waited_ms=None if waited_s is None else waited_s * 1000,
        )
        self._log(done, status)
        return done

    def _log(self, done: Transcription, status: int) -> None:
        record = _record(done, status, self.admission.take_refused())
        self._requests.append(record)
        if status == 200:
            self.last_hour.add(record)


def _record(done: Transcription, status: int, refused: int) -> RequestRecord:
    return RequestRecord(
        request_id=done.request_id,
        at=datetime.now(UTC),
        scale=str(done.scale),
        modality=done.modality,
        duration_s=done.duration_s,
        latency_ms=done.latency_ms,
        **logged(done.features),
        status=status,
        estimated_wer=done.estimated_wer,
        chosen_by=done.chosen_by,
        waited_ms=done.waited_ms,
        refused=refused,
    )


def _most(measured: Sequence[tuple[float, Modality, Features]]) -> Modality:
    """Return what most of a recording was read as."""
    counts = Counter(modality for _, modality, _ in measured)
    return max(counts, key=lambda modality: counts[modality], default="audio")


def _size(content: bytes | Path) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size
