"""Open a media container, from a path or from bytes, and turn every way it can fail into one sentence."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av import AudioStream, VideoStream
from av.container import InputContainer

from mome.errors import MediaError

__all__ = ["MAX_DURATION_S", "declared_s", "is_cut_short", "name_of", "open_container"]

# One utterance is seconds long. The bound is there so that a small file cannot decode into all of memory.
MAX_DURATION_S = 120.0

# Only formats that hold media themselves. A playlist or a concatenation script is a "container" to FFmpeg
# too, and makes it open whatever file or address is written in there.
_OPTIONS = {
    "format_whitelist": "aac,aiff,asf,au,avi,flac,flv,m4a,matroska,mov,mp3,mp4,"
    "mpeg,mpegts,mpegvideo,ogg,w64,wav,webm",
    "protocol_whitelist": "file",
}

# Below this, a declared duration and the decoded one differ by encoder padding alone.
_PADDING_S = 0.2
_PADDING_SHARE = 0.1  # formats without a stated duration are guessed at from their bit rate


def name_of(source: Path | bytes) -> str:
    """Return how a message calls this recording: its path, or its size when it came without one."""
    return str(source) if isinstance(source, Path) else f"recording of {len(source)} bytes"


@contextmanager
def open_container(source: Path | bytes) -> Iterator[InputContainer]:
    """Open a recording for demuxing.

    Raises:
        MediaError: If it is missing, empty or not a known media format, also when that only shows
            while the caller decodes.
    """
    name = name_of(source)
    if isinstance(source, bytes):
        size = len(source)
    elif source.is_file():
        size = source.stat().st_size
    else:
        raise MediaError(f"{name}: no such file; expected an audio or video recording")
    if size == 0:
        raise MediaError(f"{name}: the file is empty; expected an audio or video recording")
    try:
        file = str(source) if isinstance(source, Path) else io.BytesIO(source)
        with av.open(file, "r", options=_OPTIONS) as container:
            yield container
    except (av.FFmpegError, OSError) as error:
        reason = error.strerror or error
        raise MediaError(f"{name}: cannot be decoded as audio or video ({reason})") from error


def declared_s(container: InputContainer, stream: AudioStream | VideoStream) -> float:
    """Return how many seconds the header promises for a stream, or 0 when it does not say."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration is not None else 0.0


def is_cut_short(promised_s: float, decoded_s: float) -> bool:
    """Tell whether a recording clearly holds less than its header promises."""
    return promised_s - decoded_s > _PADDING_S + _PADDING_SHARE * promised_s
