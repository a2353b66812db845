"""The speaker's mouth beside the sound: camera frames in, mouths at 25 frames a second out.

A frame has its moment on the clock of the sound that was appended. Frames are decoded and searched for a
face by the decoding processes, a few at a time, while the sound goes on.
"""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mome.scales import VIDEO_FRAMES_PER_SECOND
from mome.speech.faces.models import FaceModels
from serving.decoders import Decoders
from serving.errors import ApiError
from serving.pictures import Pictures
from serving.realtime.outlet import Outlet
from serving.realtime.sound import decoded_base64

__all__ = ["Lips"]

_MOST_FRAMES = 50  # of an event: two seconds
_MOST_WAITING = 250  # frames
_MOST_BYTES = 300_000  # of a frame
_AT_A_TIME = 12
_STEADYING = 6  # earlier frames, over which a box is smoothed
_APART_MS = 250  # a frame stands for no moment further away
_LATE_S = 0.4  # for which a whole text waits for the last frames

Mouth = npt.NDArray[np.uint8]


class Lips:
    """The mouths of one session.

    Args:
        decoders: Look at the frames.
        outlet: Where the mouth is shown, and a frame is refused.
        session_id: For the log.
        kept_s: How long mouths are kept.
        face_models: That cut out the mouths that the model was taught on.
    """

    def __init__(
        self, decoders: Decoders, outlet: Outlet, session_id: str, kept_s: float, face_models: FaceModels
    ) -> None:
        self.shown = False  # whether the client wants to see the mouth
        self._decoders = decoders
        self._face_models = face_models
        self._outlet = outlet
        self._session_id = session_id
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._before: list[bytes] = []
        self._mouths: deque[tuple[int, Mouth]] = deque(maxlen=round(2 * kept_s * VIDEO_FRAMES_PER_SECOND))
        self._last_ms = -1
        self._changed = asyncio.Condition()

    async def append(self, event: dict[str, Any]) -> None:
        """Take frames; returns when there is room for more.

        Raises:
            ApiError: If they are not frames in the order of their moments.
        """
        frames = event.get("frames")
        if not isinstance(frames, list) or not 0 < len(frames) <= _MOST_FRAMES:
            raise _invalid(f"'frames' is a list of one to {_MOST_FRAMES} frames", "frames")
        taken = []
        for frame in frames:
            at_ms = frame.get("at_ms") if isinstance(frame, dict) else None
            if not isinstance(at_ms, int) or isinstance(at_ms, bool) or at_ms < self._last_ms:
                raise _invalid("'at_ms' is a whole number of milliseconds that never falls", "frames.at_ms")
            image = decoded_base64(frame.get("image"), "frames.image")
            if len(image) > _MOST_BYTES:
                raise _invalid(
                    f"a frame has {len(image)} bytes; at most {_MOST_BYTES} are taken", "frames.image"
                )
            self._last_ms = at_ms
            taken.append((at_ms, image))
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._waiting) < _MOST_WAITING)
            self._waiting.extend(taken)
            self._changed.notify_all()

    async def look(self) -> None:
        """Look at frames as they come, for ever."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._waiting)
                taken = [self._waiting[number] for number in range(min(_AT_A_TIME, len(self._waiting)))]
            await self._look_at(taken)
            async with self._changed:
                for _ in taken:
                    self._waiting.popleft()
                self._changed.notify_all()

    async def caught_up(self) -> None:
        """Wait, but not for long, until all frames that came were looked at."""
        try:
            async with asyncio.timeout(_LATE_S), self._changed:
                await self._changed.wait_for(lambda: not self._waiting)
        except TimeoutError:
            return

    def between(self, start_s: float, count: int) -> Mouth | None:
        """Return ``count`` mouths at 25 frames a second, or None if for most of them there is no face."""
        if not self._mouths or count < 1:
            return None
        moments = np.array([at_ms for at_ms, _ in self._mouths])
        wanted = 1000 * (start_s + np.arange(count) / VIDEO_FRAMES_PER_SECOND)
        # The frame that is shown then: the last before it, or the first.
        chosen = np.clip(np.searchsorted(moments, wanted, side="right") - 1, 0, len(moments) - 1)
        near = np.abs(moments[chosen] - wanted) <= _APART_MS
        if 2 * near.sum() < count:
            return None
        return np.stack([self._mouths[number][1] for number in chosen])

    async def _look_at(self, frames: list[tuple[int, bytes]]) -> None:
        files = [image for _, image in frames]
        pictures = Pictures((*self._before, *files), len(self._before), self._face_models)
        try:
            mouths = (await self._decoders.look(pictures, self._session_id)).frames
        except ApiError as error:
            self._before = []
            await self._outlet.refuse(error)
            return
        self._before = [*self._before, *files][-_STEADYING:]
        if len(mouths):
            self._mouths.extend((at_ms, mouth) for (at_ms, _), mouth in zip(frames, mouths, strict=True))
        if self.shown:
            image = None
            if len(mouths):
                _, encoded = cv2.imencode(".png", mouths[-1])
                image = base64.b64encode(encoded.tobytes()).decode()
            await self._outlet.tell("input_video_buffer.mouth", at_ms=frames[-1][0], image=image)


def _invalid(message: str, param: str) -> ApiError:
    return ApiError(message, param=param, code="invalid_value")
