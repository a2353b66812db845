"""One utterance: read along while it is spoken, and once more when it has ended, if that is still needed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
import numpy as np
import numpy.typing as npt

from mome.reading import Text, Token
from mome.records import Modality
from mome.scales import VIDEO_FRAMES_PER_SECOND
from mome.speech.audio import SAMPLING_RATE
from mome.speech.media import Clip, as_long_as_video
from serving.engine import Engine, Segment, Transcription
from serving.errors import ApiError
from serving.features import Features, measure
from serving.own_scale import Wish
from serving.realtime.agreement import Agreement, tokens_of
from serving.realtime.lips import Lips
from serving.realtime.outlet import Outlet, error_body
from serving.replies import facts, logprobs

__all__ = ["Utterance"]

_log = logging.getLogger(__name__)
_FIRST_STEP_S = 0.1  # of new sound, after which it is read again, until its first words are shown
_STEP_S = 0.2  # and afterwards
_BUSY_STATUS = (429, 503)

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Read:
    """A reading of the first ``count`` samples, and of the mouth beside them.

    ``features`` are there if all may have been said by then.
    """

    text: Text
    clip: Clip
    count: int
    features: Features | None
    latency_ms: float


class Utterance:
    """An item of the conversation that is spoken, or was.

    Args:
        item_id: Of the conversation.
        engine: Reads it.
        wish: At which scale, and who chose it.
        outlet: Where its words go.
        lips: The speaker's mouth, where the model reads lips beside the sound and frames come.
        start: Sample of the stream at which it begins.
        follows: Read along.
        with_logprobs: Words come with how sure the model was of each token.
    """

    def __init__(
        self,
        item_id: str,
        engine: Engine,
        wish: Wish,
        outlet: Outlet,
        lips: Lips | None,
        *,
        start: int,
        follows: bool,
        with_logprobs: bool = False,
    ) -> None:
        self.item_id = item_id
        self.start = start
        self.samples: Samples = np.zeros(0, np.float32)
        self.lead = 0  # samples before its speech
        self.hushed = False  # a silence has begun: it will be read when that is a pause, and not just before
        self.spoken = 0  # samples until the last speech that was heard
        self.began_at = time.monotonic()  # when speech began
        self.announced = False  # to the client, as speech
        self.ended_at = 0.0  # when it ended, or was committed
        self.measured: tuple[Modality, Features] | None = None  # on all of it, when it was read
        self._engine = engine
        self._scale, self._chosen_by = wish
        self._outlet = outlet
        self._lips = lips
        self._follows = follows
        self._with_logprobs = with_logprobs
        self._agreement = Agreement()
        self._is_first = True
        self._paused = False
        self._ended = False
        self._dropped = False
        self._changed = asyncio.Event()

    @property
    def duration_s(self) -> float:
        """So far."""
        return len(self.samples) / SAMPLING_RATE

    def hear(self, samples: Samples) -> None:
        """Take all of its sound so far."""
        self.samples = samples
        self._changed.set()

    def pause(self) -> None:
        """Say that it may have ended: it is read now, so that its text is there if it has."""
        self._paused = True
        self._changed.set()

    def end(self) -> None:
        """Say that there is no more of it."""
        self._ended = True
        self._changed.set()

    def drop(self) -> None:
        """Say that nobody wants it."""
        self._dropped = True
        self._changed.set()

    async def run(self) -> None:
        """Read it, and send its words, until all of it was read."""
        read: _Read | None = None
        try:
            if self._follows:
                read = await self._along()
            if self._dropped:
                return
            if read is None or read.features is None or read.count < self.spoken:
                read = await self._read(whole=True)
            await self._complete(read)
        except ApiError as error:
            await self._fail(error)
        except Exception as error:  # noqa: BLE001 - one item fails, the session goes on
            _log.error("item %s failed at scale %s", self.item_id, self._scale, exc_info=error)
            await self._fail(ApiError("the model failed", status=500, code="transcription_failed"))

    async def _along(self) -> _Read | None:
        """Read again and again until it has ended; return the last reading."""
        read: _Read | None = None
        done, step_s = 0, _FIRST_STEP_S
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._ended or self._dropped:
                return read
            if self._paused or (
                len(self.samples) - done >= step_s * SAMPLING_RATE and self.spoken > done and not self.hushed
            ):
                whole, self._paused = self._paused, False
                done = len(self.samples)
                try:
                    read = await self._read(whole=whole)
                except ApiError as error:
                    if error.status not in _BUSY_STATUS:
                        raise
                    continue  # words come later, then
                spoken_s = (min(self.spoken, read.count) - self.lead) / SAMPLING_RATE
                await self._show(self._agreement.read(read.text.text, spoken_s), read.text)
                # A long one is read less often.
                step_s = max(_FIRST_STEP_S if self._is_first else _STEP_S, read.latency_ms / 1000)
                self._changed.set()  # there may be enough for the next one

    async def _read(self, *, whole: bool) -> _Read:
        if self._ended and self._lips is not None:
            await self._lips.caught_up()
        clip, count = self._clip(), len(self.samples)
        started = time.perf_counter()
        reading = asyncio.ensure_future(self._engine.read(clip, self._scale))
        try:
            features = await anyio.to_thread.run_sync(measure, clip) if whole else None
            text = await reading
        finally:
            reading.cancel()
        return _Read(text, clip, count, features, (time.perf_counter() - started) * 1000)

    def _clip(self) -> Clip:
        if self._lips is not None:
            frames = round(self.duration_s * VIDEO_FRAMES_PER_SECOND)
            mouth = self._lips.between(self.start / SAMPLING_RATE, frames)
            if mouth is not None:
                return Clip(as_long_as_video(self.samples, len(mouth)), mouth)
        return Clip(self.samples, None)

    async def _show(self, words: str, read: Text) -> None:
        """Send words that a reading adds to those that were shown, with its tokens of them."""
        if words:
            if self._is_first:
                self._is_first = False
                self._engine.metrics.first_delta(time.monotonic() - self.began_at)
            await self._outlet.tell(
                "conversation.item.input_audio_transcription.delta",
                item_id=self.item_id,
                content_index=0,
                delta=words,
                **self._sure(tokens_of(words, " ".join(self._agreement.shown), read.tokens)),
            )

    def _sure(self, tokens: Sequence[Token]) -> dict[str, Any]:
        return {"logprobs": logprobs(tokens)} if self._with_logprobs else {}

    async def _complete(self, read: _Read) -> None:
        assert read.features is not None
        self.measured = read.clip.modality, read.features
        silent = read.features.silent and not self.spoken
        text = Text("", cut=False) if silent else read.text
        modality, tokens = read.clip.modality, read.clip.num_tokens(self._scale)
        said = Segment(0.0, self.duration_s, text, read.features, modality, tokens, self._scale)
        done = Transcription(
            self.item_id,
            (said,),
            self.duration_s,
            modality,
            self._scale,
            read.features,
            read.latency_ms,
            self._engine.estimated_wer([said]),
            self._chosen_by,
        )
        await self._show(self._agreement.end(text.text), text)
        await self._outlet.tell(
            "conversation.item.input_audio_transcription.completed",
            item_id=self.item_id,
            content_index=0,
            transcript=text.text,
            **self._sure(text.tokens),
            usage={"type": "duration", "seconds": self.duration_s},
            x_mome=facts(done, self._engine),
        )
        self._engine.metrics.final(time.monotonic() - self.ended_at)
        self._engine.record(done, 200)

    async def _fail(self, error: ApiError) -> None:
        self._engine.metrics.refused(error.code or "internal_error")
        await self._outlet.tell(
            "conversation.item.input_audio_transcription.failed",
            item_id=self.item_id,
            content_index=0,
            error=error_body(error),
        )
