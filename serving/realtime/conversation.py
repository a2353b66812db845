"""One session's stream: sound in, utterances out, as turns or as the client commits them."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mome.records import Modality
from mome.speech.activity import FRAME, VoiceActivity
from mome.speech.audio import SAMPLING_RATE
from serving.engine import Engine
from serving.errors import ApiError
from serving.features import Features
from serving.realtime.lips import Lips
from serving.realtime.outlet import Outlet
from serving.realtime.session import Session
from serving.realtime.sound import SoundStream
from serving.realtime.turns import Turn, Turns
from serving.realtime.utterance import Utterance

__all__ = ["Conversation"]

_PIECE = SAMPLING_RATE // 2  # samples; other sessions have the event loop in between
_LEAST_S = 0.1  # of sound, to be committed
_SEARCHED = 0.4  # last part of a long utterance, in which its pause is looked for

Samples = npt.NDArray[np.float32]


class Conversation:
    """Follow one stream of sound.

    Args:
        engine: Reads what is said.
        outlet: Where events go.
        lips: The speaker's mouth; None if the model does not read it beside the sound.
        heard: Told how many seconds an utterance had, when it has ended.
        tasks: In which utterances are read.
    """

    def __init__(
        self,
        engine: Engine,
        outlet: Outlet,
        lips: Lips | None,
        heard: Callable[[float], None],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.session = Session()
        self._engine = engine
        self._outlet = outlet
        self._lips = lips
        self._told = heard
        self._tasks = tasks
        self._sound = SoundStream(self.session.audio.input.format)
        self._activity = VoiceActivity()
        self._turns = self._new_turns(0)
        # The buffer: sound since ``_at``, and how likely speech is in each of its frames.
        self._at = 0
        self._samples: Samples = np.zeros(0, np.float32)
        self._frames: list[float] = []
        self._num_frames = 0  # since the session began, those that were forgotten too
        self._utterance: Utterance | None = None
        self._last_item: str | None = None
        self._measured: tuple[Modality, Features] | None = None  # of the last utterance
        self._unread_s: dict[str, float] = {}  # by item: what has ended and is not answered
        self._answered = asyncio.Event()

    @property
    def _heard(self) -> int:
        """Samples since the session began."""
        return self._at + len(self._samples)

    def update(self, session: Session) -> None:
        """Put other settings into force.

        Raises:
            ApiError: If the format or the turns of an utterance that is spoken would change, or the scale
                does not exist.
        """
        if session.compression_scale is not None:
            self._engine.choose_scale(session.compression_scale)
        before, now = self.session.audio.input, session.audio.input
        if (before.format, before.turn_detection) != (now.format, now.turn_detection):
            if self._utterance is not None:
                raise ApiError(
                    "format and turn_detection cannot change while the buffer holds speech; commit it first",
                    param="session.audio.input",
                    code="invalid_value",
                )
            self._sound = SoundStream(now.format)
        if self._lips is not None:
            self._lips.shown = session.mouth
        self.session = session
        if before.turn_detection != now.turn_detection:
            self._turns = self._new_turns(self._num_frames * FRAME)

    async def append(self, data: bytes) -> None:
        """Take sound, as the session's format writes it; returns when there is room for more."""
        samples = self._sound.take(data)
        for start in range(0, len(samples), _PIECE):
            await self._hear(samples[start : start + _PIECE])
            # A client may send faster than anybody speaks; beyond this its connection is not read.
            while sum(self._unread_s.values()) > self._engine.max_duration_s:
                self._answered.clear()
                await self._answered.wait()
            await asyncio.sleep(0)

    async def commit(self) -> None:
        """Make an utterance of what the buffer holds.

        Raises:
            ApiError: If that is less than a tenth of a second.
        """
        await self._hear(self._sound.end())
        held = self._heard - (self._at if self._utterance is None else self._utterance.start)
        if held < _LEAST_S * SAMPLING_RATE:
            raise ApiError(
                f"the buffer holds {1000 * held / SAMPLING_RATE:.0f} ms of sound; at least "
                f"{1000 * _LEAST_S:.0f} ms are needed for a commit",
                code="input_audio_buffer_commit_empty",
            )
        if self._utterance is None:
            self._begin(self._at)
        await self._end(self._heard)

    async def clear(self) -> None:
        """Forget what the buffer holds."""
        if self._utterance is not None:
            self._utterance.drop()
            self._utterance = None
        self._sound.end()
        self._forget(self._heard)
        await self._outlet.tell("input_audio_buffer.cleared")

    async def finish(self) -> None:
        """Make an utterance of what is spoken, if anything is."""
        if self._utterance is not None and self._utterance.spoken:
            await self._end(self._heard)

    async def answered(self) -> None:
        """Wait until all that has ended is answered."""
        while self._unread_s:
            self._answered.clear()
            await self._answered.wait()

    def _new_turns(self, at: int) -> Turns | None:
        vad = self.session.audio.input.turn_detection
        return None if vad is None else Turns(vad, at)

    async def _hear(self, samples: Samples) -> None:
        if not len(samples):
            return
        self._samples = np.concatenate((self._samples, samples))
        for probability in self._activity.hear(samples).tolist():
            self._frames.append(probability)
            self._num_frames += 1
            await self._step(probability)
        if self._turns is None and self._utterance is None:
            self._begin(self._at)
        if self._utterance is not None:
            self._utterance.hear(self._samples[self._utterance.start - self._at :])
            await self._cut_if_full(self._utterance)
        elif self._turns is not None:
            self._keep_prefix()

    async def _step(self, probability: float) -> None:
        if self._turns is None:
            if self._utterance is not None and probability >= 0.5:
                self._utterance.spoken = self._num_frames * FRAME - self._utterance.start
            return
        turn = self._turns.step(probability)
        if turn is Turn.STARTED:
            vad = self.session.audio.input.turn_detection
            assert vad is not None
            prefix = vad.prefix_padding_ms * SAMPLING_RATE // 1000
            utterance = self._begin(max(self._at, self._turns.started_at - prefix))
            utterance.lead = self._turns.started_at - utterance.start
            utterance.began_at = self._came_at(self._turns.started_at)
            await self._say_started(utterance)
        if self._utterance is None:
            return
        self._utterance.spoken = self._turns.quiet_at - self._utterance.start
        self._utterance.hushed = self._turns.hushed
        if turn is Turn.PAUSED:
            self._utterance.hear(self._samples[self._utterance.start - self._at :])
            self._utterance.pause()
        elif turn is Turn.STOPPED:
            self._utterance.ended_at = self._came_at(self._turns.quiet_at)
            await self._end(self._num_frames * FRAME)

    def _begin(self, start: int) -> Utterance:
        # Turns are read along; what a client commits has no name before that, so no words either.
        self._utterance = Utterance(
            f"item_{uuid.uuid4().hex[:20]}",
            self._engine,
            # Its own noise is not known yet: that of the speaker's last one is.
            self._engine.own_scale(self._engine.choose_scale(self.session.compression_scale), self._measured),
            self._outlet,
            self._lips,
            start=start,
            follows=self._turns is not None,
            with_logprobs=bool(self.session.include),
        )
        self._utterance.began_at = time.monotonic()
        if self._turns is not None:
            self._read(self._utterance)
        return self._utterance

    async def _end(self, stop: int) -> None:
        """End the utterance at a sample; what comes after it stays in the buffer."""
        utterance = self._utterance
        assert utterance is not None
        self._utterance = None
        utterance.hear(self._samples[utterance.start - self._at : stop - self._at])
        utterance.spoken = min(utterance.spoken, len(utterance.samples))
        utterance.ended_at = utterance.ended_at or time.monotonic()
        self._unread_s[utterance.item_id] = utterance.duration_s
        self._told(utterance.duration_s)
        if self._turns is not None:
            self._turns.end()
        if utterance.announced:
            await self._outlet.tell(
                "input_audio_buffer.speech_stopped", item_id=utterance.item_id, audio_end_ms=_ms(stop)
            )
        await self._say_committed(utterance)
        if self._turns is None:
            self._read(utterance)
        utterance.end()
        self._forget(stop)

    def _read(self, utterance: Utterance) -> None:
        def answered(_: asyncio.Task[None]) -> None:
            self._unread_s.pop(utterance.item_id, None)
            self._measured = utterance.measured or self._measured
            self._answered.set()

        self._tasks.create_task(utterance.run()).add_done_callback(answered)

    async def _cut_if_full(self, utterance: Utterance) -> None:
        most = int(self._engine.max_duration_s * SAMPLING_RATE)
        while len(utterance.samples) >= most:
            stop = self._quietest(utterance.start + int((1 - _SEARCHED) * most), utterance.start + most)
            left = utterance.start + utterance.spoken - stop
            await self._end(stop)
            utterance = self._begin(stop)
            utterance.spoken = max(0, left)
            if self._turns is not None:
                self._turns.go_on(stop)
                await self._say_started(utterance)
            utterance.hear(self._samples[stop - self._at :])

    def _quietest(self, first: int, last: int) -> int:
        """Return the middle of the frame between two samples in which speech is least likely."""
        before = self._num_frames - len(self._frames)  # frames that were forgotten
        low = -(-first // FRAME)
        frames = np.asarray(self._frames[low - before : max(0, last // FRAME - before)])
        if not len(frames):
            return last
        # Of equals the last: the more of it is read together the better.
        best = len(frames) - 1 - int(np.argmin(frames[::-1]))
        return (low + best) * FRAME + FRAME // 2

    def _keep_prefix(self) -> None:
        """Forget what is no part of an utterance that may begin now."""
        vad = self.session.audio.input.turn_detection
        assert vad is not None
        self._forget(self._heard - vad.prefix_padding_ms * SAMPLING_RATE // 1000 - 4 * FRAME)

    def _forget(self, before: int) -> None:
        """Drop the sound before a sample."""
        drop = min(before - self._at, len(self._samples))
        if drop <= 0:
            return
        self._samples = self._samples[drop:]
        self._at += drop
        kept = self._num_frames - self._at // FRAME
        self._frames = self._frames[max(0, len(self._frames) - kept) :]

    def _came_at(self, sample: int) -> float:
        """Return when a sample came in, if the client sends as people speak."""
        return time.monotonic() - (self._heard - sample) / SAMPLING_RATE

    async def _say_started(self, utterance: Utterance) -> None:
        utterance.announced = True
        await self._outlet.tell(
            "input_audio_buffer.speech_started",
            item_id=utterance.item_id,
            audio_start_ms=_ms(utterance.start),
        )

    async def _say_committed(self, utterance: Utterance) -> None:
        before, self._last_item = self._last_item, utterance.item_id
        item = {
            "id": utterance.item_id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        await self._outlet.tell(
            "input_audio_buffer.committed", item_id=utterance.item_id, previous_item_id=before
        )
        for kind in ("created",) if self._outlet.older else ("added", "done"):
            await self._outlet.tell(f"conversation.item.{kind}", item=item, previous_item_id=before)


def _ms(samples: int) -> int:
    return round(1000 * samples / SAMPLING_RATE)
