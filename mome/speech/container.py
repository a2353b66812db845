"""Open a media container, from a path or from bytes, and turn every way it can fail into one sentence."""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av import AudioStream, VideoStream
from av.container import InputContainer
from av.stream import Disposition

from mome.errors import MediaError

__all__ = [
    "LONGEST_GAP_S",
    "MAX_DURATION_S",
    "contents",
    "decoding",
    "first_bytes",
    "has_picture",
    "has_stamps",
    "is_cut_short",
    "moving_picture",
    "name_of",
    "open_container",
    "promised_s",
]

# One utterance is seconds long. The bound is there so that a small file cannot decode into all of memory;
# what is longer is read as a stream.
MAX_DURATION_S = 120.0
# Between two time stamps; later than that, one of them is wrong. What a header promises says nothing: whoever
# wrote the stamps wrote it.
LONGEST_GAP_S = 120.0

# Only formats that hold media themselves. A playlist or a concatenation script is a "container" to FFmpeg
# too, and makes it open whatever file or address is written in there.
_OPTIONS = {
    "format_whitelist": "aac,ac3,aiff,amr,asf,au,avi,caf,eac3,flac,flv,m4a,matroska,mov,mp3,mp4,"
    "mpeg,mpegts,mpegvideo,mxf,nistsphere,ogg,w64,wav,webm,wv",
    "protocol_whitelist": "file",
}

# They say nowhere how long they are. What libav then gives is a guess from the size and the first bit
# rate, far off where the rate varies.
_WITHOUT_DURATION = frozenset({"aac", "ac3", "amr", "eac3", "mpeg", "mpegts", "mpegvideo"})
# They hold no time stamps: what libav counts up instead goes wrong where the sampling rate changes.
_WITHOUT_STAMPS = frozenset(
    {
        "aac",
        "ac3",
        "aiff",
        "amr",
        "au",
        "caf",
        "eac3",
        "flac",
        "mp3",
        "mpegvideo",
        "nistsphere",
        "w64",
        "wav",
        "wv",
    }
)
_MP3_HEADERS = (b"Xing", b"Info", b"VBRI")  # of which each says the number of frames
_HEADER_WITHIN = 4096  # bytes: it is in the first frame

# Below this, a declared duration and the decoded one differ by encoder padding alone.
_PADDING_S = 0.2
_PADDING_SHARE = 0.1


def name_of(source: Path | bytes) -> str:
    """Return how a message calls this recording: its path, or its size when it came without one."""
    return str(source) if isinstance(source, Path) else f"recording of {len(source)} bytes"


def first_bytes(source: Path | bytes, count: int, start: int = 0) -> bytes:
    """Return some bytes of a recording.

    Raises:
        MediaError: If it is missing or cannot be read.
    """
    if isinstance(source, bytes):
        return source[start : start + count]
    if not source.is_file():
        raise MediaError(f"{source}: no such file; expected an audio or video recording")
    with decoding(name_of(source)), source.open("rb") as file:
        file.seek(start)
        return file.read(count)


@contextmanager
def contents(source: Path | bytes) -> Iterator[bytes | mmap.mmap]:
    """Yield all bytes of a recording that is not empty; those of a file are read where they are looked at."""
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Say what failed in one sentence, whatever a decoder raises: damaged bytes make it raise anything.

    libav's own errors are a small part of it. PyAV finds attributes missing and text that is not UTF-8,
    NumPy shapes that do not fit, OpenCV and libsndfile have errors of their own, and all of them can ask
    for more memory than there is.

    Raises:
        MediaError: In place of any exception but itself.
    """
    try:
        yield
    except MediaError:
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}".strip(": ")
        raise MediaError(f"{name}: cannot be decoded as audio or video ({reason})") from error


@contextmanager
def open_container(source: Path | bytes, name: str = "") -> Iterator[InputContainer]:
    """Open a recording for demuxing; ``name`` is for messages, where the source itself is not to be named.

    Raises:
        MediaError: If it is missing, empty or not a known media format, also when that only shows
            while the caller decodes.
    """
    name = name or name_of(source)
    if not first_bytes(source, 1):
        raise MediaError(f"{name}: the file is empty; expected an audio or video recording")
    file = str(source) if isinstance(source, Path) else io.BytesIO(source)
    # A tag may be in any old encoding, and nobody asks for it.
    with decoding(name), _opened(file, name) as container:
        yield container


def _opened(file: str | io.BytesIO, name: str) -> InputContainer:
    try:
        return av.open(file, "r", options=_OPTIONS, metadata_errors="replace")
    except av.ArgumentError as error:  # what libav says of a format that is not on the list
        raise MediaError(
            f"{name}: cannot be decoded as audio or video: damaged, or of a format that is not read; "
            "expected one like WAV, FLAC, MP3, M4A, Ogg, MP4, MOV, WebM, Matroska or MPEG"
        ) from error


def moving_picture(container: InputContainer) -> VideoStream | None:
    """Return the first stream of moving video; the cover of a song is a video stream too, but not that."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    return None


def has_picture(source: Path | bytes) -> bool:
    """Tell whether a recording holds moving video.

    Raises:
        MediaError: As `open_container`.
    """
    with open_container(source) as container:
        return moving_picture(container) is not None


def has_stamps(container: InputContainer) -> bool:
    """Tell whether this kind of file says when a sound or a picture was recorded."""
    return container.format.name not in _WITHOUT_STAMPS


def promised_s(source: Path | bytes, container: InputContainer, stream: AudioStream | VideoStream) -> float:
    """Return how many seconds the header promises for a stream, or 0 when it does not say."""
    kind = container.format.name
    if kind in _WITHOUT_DURATION or (kind == "mp3" and not _says_frames(source)):
        return 0.0
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration is not None else 0.0


def is_cut_short(promised_s: float, decoded_s: float) -> bool:
    """Tell whether a recording clearly holds less than its header promises."""
    return promised_s - decoded_s > _PADDING_S + _PADDING_SHARE * promised_s


def _says_frames(mp3: Path | bytes) -> bool:
    start = 0
    tag = first_bytes(mp3, 10)
    if tag[:3] == b"ID3" and len(tag) == 10:
        size = 0
        for part in tag[6:]:  # seven bits a byte, so that a tag never looks like a frame
            size = size << 7 | part & 0x7F
        start = 10 + size
    first_frame = first_bytes(mp3, _HEADER_WITHIN, start)
    return any(header in first_frame for header in _MP3_HEADERS)
