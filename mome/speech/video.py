"""Video: read any recording as gray frames, bring it to 25 frames per second, write mouth video."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from mome.errors import MediaError
from mome.scales import VIDEO_FRAMES_PER_SECOND
from mome.speech.container import MAX_DURATION_S, declared_s, is_cut_short, name_of, open_container

__all__ = ["VideoFrames", "encode_mouth", "read_video", "to_25_fps"]

_MAX_BYTES = 2 << 30  # of gray frames in memory
_SAME_BYTES = "cpu-independent=1"

Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class VideoFrames:
    """A decoded video.

    Args:
        frames: Gray ``(T, H, W)`` uint8, upright.
        fps: Frames per second, as recorded.
        truncated: The file promises more than it holds.
    """

    frames: Frames
    fps: float
    truncated: bool


def read_video(source: Path | bytes) -> VideoFrames:
    """Decode the first video stream of a recording.

    Raises:
        MediaError: If it is missing, empty, too long or too large, or holds no video that can be decoded.
    """
    name = name_of(source)
    images: list[Frames] = []
    times: list[float] = []
    complete = True
    size = 0
    with open_container(source) as container:
        if not container.streams.video:
            raise MediaError(f"{name}: holds no video stream; expected a recording of a face or a mouth")
        stream = container.streams.video[0]
        stream.thread_count = 1  # a clip is small; several are decoded at a time where speed matters
        declared_rate = stream.average_rate or stream.base_rate
        promised_s = declared_s(container, stream)
        try:
            for frame in container.decode(stream):
                image = _gray(frame)
                images.append(image)
                size += image.nbytes
                if frame.time is not None:
                    times.append(frame.time)
                if size > _MAX_BYTES or (times and times[-1] - times[0] > MAX_DURATION_S):
                    raise MediaError(
                        f"{name}: longer than {MAX_DURATION_S:g} s or larger than {_MAX_BYTES >> 30} GiB"
                        " of frames; expected one utterance"
                    )
        except av.FFmpegError:
            if not images:
                raise
            complete = False
    if not images:
        raise MediaError(f"{name}: holds no video frames; expected a recording of a face or a mouth")
    if any(image.shape != images[0].shape for image in images):
        raise MediaError(f"{name}: the frame size changes within the video; expected one size")
    fps = _frame_rate(times, float(declared_rate) if declared_rate else 0.0)
    truncated = not complete or is_cut_short(promised_s, len(images) / fps)
    return VideoFrames(np.stack(images), fps, truncated)


def to_25_fps(frames: Frames, fps: float) -> Frames:
    """Return the video ``(T, H, W)`` at 25 frames per second: for each new moment the nearest old frame."""
    if abs(fps - VIDEO_FRAMES_PER_SECOND) < 0.01:
        return frames
    count = max(1, round(len(frames) / fps * VIDEO_FRAMES_PER_SECOND))
    middles_s = (np.arange(count) + 0.5) / VIDEO_FRAMES_PER_SECOND
    # Frame i is shown from i / fps until (i + 1) / fps: the one shown in the middle is the nearest.
    nearest = np.floor(middles_s * fps + 1e-9).astype(np.int64)
    return frames[np.minimum(nearest, len(frames) - 1)]


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


def _gray(frame: av.VideoFrame) -> Frames:
    if frame.format.name in ("yuv420p", "yuvj420p") and frame.color_range == 2:
        plane = frame.planes[0]
        gray = np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
    else:
        gray = np.asarray(frame.to_ndarray(format="gray"), dtype=np.uint8)
    # A telephone stores a portrait video lying down, with a note on how far to turn it (counter-clockwise).
    return np.ascontiguousarray(np.rot90(gray, round(frame.rotation / 90) % 4))


def _full_range_frame(image: Frames) -> av.VideoFrame:
    height, width = image.shape
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = image
    frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    frame.color_range = 2
    return frame


def _frame_rate(times: list[float], declared: float) -> float:
    """Return the rate that the frame times show: a browser's recording declares none, or a wrong one."""
    if len(times) > 1 and times[-1] > times[0]:
        return round((len(times) - 1) / (times[-1] - times[0]), 3)
    return declared or float(VIDEO_FRAMES_PER_SECOND)
