"""Video: read any recording as gray frames, bring it to 25 frames per second, write mouth video."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from mome.errors import MediaError, TooLongError
from mome.scales import VIDEO_FRAMES_PER_SECOND
from mome.speech.container import (
    LONGEST_GAP_S,
    MAX_DURATION_S,
    is_cut_short,
    moving_picture,
    name_of,
    open_container,
    promised_s,
)
from mome.speech.frame_times import LONGEST_LAST_S, frame_rate, frame_times, last_shown_s

__all__ = ["Pictures", "VideoFrames", "encode_mouth", "read_video", "stream_video", "to_25_fps"]

_MAX_BYTES = 2 << 30  # of gray frames in memory
# Pixels. A mouth is 96 wide in the end, and a face that talks to a camera fills a fifth of its picture or
# more: what a telephone records beyond this costs memory, and shows nothing.
_LONGEST_SIDE = 1280
_STREAMED = 125  # frames at a time: 5 s, less than 0.2 GB of the largest
_STILL = 50  # frames, 2 s
_ROUNDING_S = 1e-6
_SAME_BYTES = "cpu-independent=1"

Frames = npt.NDArray[np.uint8]
Times = npt.NDArray[np.float64]


@dataclass(frozen=True)
class VideoFrames:
    """A decoded video.

    Args:
        frames: Gray ``(T, H, W)`` uint8, upright, at most 1,280 pixels on a side.
        times_s: When each frame begins to be shown ``(T,)``, the first at zero.
        fps: Frames per second, as recorded; on average where they come unevenly.
        truncated: The file promises more than it holds.
        start_s: When the first frame is shown, by the clock that sound and picture of a file share.
    """

    frames: Frames
    times_s: Times
    fps: float
    truncated: bool
    start_s: float = 0.0

    @property
    def duration_s(self) -> float:
        """How long it is, with the last frame."""
        return float(self.times_s[-1]) + last_shown_s(self.times_s, self.fps)


@dataclass(frozen=True)
class Pictures:
    """The next frames of a recording.

    Args:
        frames: Gray ``(T, H, W)`` uint8 at 25 frames per second, upright, at most 1,280 pixels on a side.
        start_s: As of `VideoFrames`, of the whole recording.
        still: The picture stands still for seconds: nobody speaks in there.
    """

    frames: Frames
    start_s: float
    still: bool


def read_video(source: Path | bytes, longest_s: float = MAX_DURATION_S) -> VideoFrames:
    """Decode the first moving video stream of a recording.

    Frames of another size than the largest are fitted into it: a camera that is turned, or a call whose
    line gets worse, changes the size midway.

    Raises:
        MediaError: If it is missing or empty, or holds no video that can be decoded.
        TooLongError: If it is longer than ``longest_s``, or larger than 2 GiB of frames.
    """
    name = name_of(source)
    images: list[Frames] = []
    times: list[float | None] = []
    complete = True
    size = 0
    with open_container(source) as container:
        stream = moving_picture(container)
        if stream is None:
            raise MediaError(f"{name}: holds no video stream; expected a recording of a face or a mouth")
        stream.thread_count = 1  # a clip is small; several are decoded at a time where speed matters
        declared_rate = float(stream.average_rate or stream.base_rate or 0)
        promised = promised_s(source, container, stream)
        converter = VideoReformatter()
        try:
            for frame in container.decode(stream):
                image = _gray(frame, converter)
                images.append(image)
                size += image.nbytes
                times.append(None if frame.time is None else float(frame.time))
                if size > _MAX_BYTES or _span_s(times) > longest_s:
                    raise _too_large(name, longest_s)
        except av.FFmpegError:
            if not images:
                raise
            complete = False
        if not images:
            raise MediaError(f"{name}: holds no video frames; expected a recording of a face or a mouth")
        start_s, times_s = frame_times(times, declared_rate)
        fps = frame_rate(times_s, declared_rate)
        shown_s = float(times_s[-1]) + last_shown_s(times_s, fps)
        if shown_s * VIDEO_FRAMES_PER_SECOND * max(image.nbytes for image in images) > _MAX_BYTES:
            raise _too_large(name, longest_s)
        truncated = not complete or is_cut_short(promised, shown_s)
        return VideoFrames(_one_size(images), times_s, fps, truncated, start_s)


def stream_video(source: Path | bytes, longest_s: float) -> Iterator[Pictures]:
    """Decode the first moving video stream of a recording of any length, a few seconds at a time.

    All frames that come together have one size; it may be another one later.

    Raises:
        MediaError: As `read_video`.
        TooLongError: When more than ``longest_s`` were read.
    """
    name = name_of(source)
    held: list[Frames] = []
    start_s = 0.0
    is_still = False
    for image, start_s, count in _shown(source, name, longest_s):
        was_still, is_still = is_still, count > _STILL
        for _ in range(count):
            if held and (len(held) == _STREAMED or is_still != was_still or held[0].shape != image.shape):
                yield Pictures(np.stack(held), start_s, was_still)
                held = []
            was_still = is_still
            held.append(image)
    if held:
        yield Pictures(np.stack(held), start_s, is_still)


def _shown(source: Path | bytes, name: str, longest_s: float) -> Iterator[tuple[Frames, float, int]]:
    """Yield each frame, when the first is shown, and how many of 25 in a second show this one."""
    with open_container(source) as container:
        stream = moving_picture(container)
        if stream is None:
            raise MediaError(f"{name}: holds no video stream; expected a recording of a face or a mouth")
        stream.thread_count = 1
        step_s = 1.0 / float(stream.average_rate or stream.base_rate or VIDEO_FRAMES_PER_SECOND)
        last: Frames | None = None
        start_s = last_s = before_s = wrong_s = 0.0
        shown = 0
        converter = VideoReformatter()
        try:
            for frame in container.decode(stream):
                time_s = last_s + step_s if frame.time is None else float(frame.time) - wrong_s
                if last is not None and time_s - last_s > LONGEST_GAP_S:
                    wrong_s += time_s - last_s - step_s  # the clock was set
                    time_s = last_s + step_s
                if last is None:
                    start_s = last_s = time_s
                elif time_s > last_s:
                    # A frame is shown until the next one begins, in the middle of 40 ms.
                    until = math.ceil((time_s - start_s - _ROUNDING_S) * VIDEO_FRAMES_PER_SECOND - 0.5)
                    if time_s - start_s > longest_s:
                        raise _too_large(name, longest_s)
                    yield last, start_s, max(0, until - shown)
                    shown = max(shown, until)
                    before_s, last_s = time_s - last_s, time_s
                last = _gray(frame, converter)
        except av.FFmpegError:
            if last is None:
                raise
        if last is None:
            raise MediaError(f"{name}: holds no video frames; expected a recording of a face or a mouth")
        end_s = last_s - start_s + min(before_s or step_s, LONGEST_LAST_S)
        yield last, start_s, max(0 if shown else 1, round(end_s * VIDEO_FRAMES_PER_SECOND) - shown)


def to_25_fps(video: VideoFrames) -> Frames:
    """Return the video ``(T, H, W)`` at 25 frames per second: at each new moment the frame shown then.

    Each frame stands where its time stamp says, so that a recording whose rate changes, as telephones
    and browsers make them, keeps in time with its sound.
    """
    count = max(1, round(video.duration_s * VIDEO_FRAMES_PER_SECOND))
    middles_s = (np.arange(count) + 0.5) / VIDEO_FRAMES_PER_SECOND
    # A frame is shown until the next one: the one shown in the middle is the nearest.
    shown = np.searchsorted(video.times_s, middles_s + _ROUNDING_S, side="right") - 1
    return video.frames if np.array_equal(shown, np.arange(len(video.frames))) else video.frames[shown]


def encode_mouth(frames: Frames) -> bytes:
    """Return mouth frames ``(T, H, W)`` uint8 at 25 frames per second as an H.264 MP4 file.

    The same frames give the same bytes: one thread, no time stamp, and none of x264's shortcuts that
    depend on the processor (without ``cpu-independent`` even two calls in one process differ at times).

    Raises:
        MediaError: If there is no frame.
    """
    if not len(frames):
        raise MediaError("a mouth video needs at least one frame, got none")
    height, width = frames.shape[1:]
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=VIDEO_FRAMES_PER_SECOND)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p"  # what every browser plays; constant colour planes cost nothing
        stream.thread_count = 1
        stream.options = {
            "preset": "ultrafast",
            "crf": "18",
            "flags": "+bitexact",
            "x264-params": _SAME_BYTES,
        }
        stream.codec_context.color_range = 2  # full: 0 is black, 255 is white, and no rounding on the way
        for image in frames:
            packets = stream.encode(_full_range_frame(image))
            container.mux(packets)
        container.mux(stream.encode())
    return buffer.getvalue()


def _gray(frame: av.VideoFrame, converter: VideoReformatter) -> Frames:
    """Return a frame's brightness; one converter serves a whole video, for it takes a millisecond to make."""
    if frame.format.name in ("yuv420p", "yuvj420p") and frame.color_range == 2:
        plane = frame.planes[0]
        gray = np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
    else:
        gray = np.asarray(converter.reformat(frame, format="gray").to_ndarray(), dtype=np.uint8)
    # A telephone stores a portrait video lying down, with a note on how far to turn it (counter-clockwise).
    return _small_enough(np.ascontiguousarray(np.rot90(gray, round(frame.rotation / 90) % 4)))


def _small_enough(image: Frames) -> Frames:
    factor = _LONGEST_SIDE / max(image.shape)
    if factor >= 1.0:
        return image
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _full_range_frame(image: Frames) -> av.VideoFrame:
    height, width = image.shape
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = image
    frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    frame.color_range = 2
    return frame


def _span_s(times: list[float | None]) -> float:
    first, last = times[0], times[-1]
    return 0.0 if first is None or last is None else last - first


def _one_size(images: list[Frames]) -> Frames:
    """Return the images as one array, each in the middle of the largest, as large as fits."""
    height, width = max((image.shape for image in images), key=lambda shape: shape[0] * shape[1])
    frames = np.zeros((len(images), height, width), np.uint8)
    for frame, image in zip(frames, images, strict=True):
        factor = min(height / image.shape[0], width / image.shape[1])
        rows, columns = (max(1, round(side * factor)) for side in image.shape)
        fitted = image if factor == 1.0 else cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
        top, left = (height - rows) // 2, (width - columns) // 2
        frame[top : top + rows, left : left + columns] = fitted
    return frames


def _too_large(name: str, longest_s: float) -> TooLongError:
    return TooLongError(
        f"{name}: longer than {longest_s:g} s or larger than {_MAX_BYTES >> 30} GiB of frames"
    )
