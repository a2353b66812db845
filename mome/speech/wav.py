"""The header of a WAV file: mended where its writer could not know the size, read for what it promises.

A program that writes into a pipe, or that ends before it can go back to the header, leaves a size of
zero or a huge one in there. The samples follow all the same.
"""

from __future__ import annotations

import mmap
from typing import TypeAlias

__all__ = ["is_wav", "mended", "promises_more"]

Content: TypeAlias = bytes | mmap.mmap

_UNKNOWN_SIZE = 0x7FFF_0000  # bytes; SoX writes a little more than that into a pipe, FFmpeg twice as much
# For more than 4 GiB: the size is in a chunk of its own, which comes first.
_LARGE = (b"RF64", b"BW64")
_LARGE_SIZE = slice(28, 36)
_HEAD = 12  # bytes: RIFF, size, WAVE
_CHUNK = 8  # bytes: name, size


def is_wav(content: Content) -> bool:
    """Tell whether these bytes begin as a WAV file does."""
    return content[:4] in (b"RIFF", *_LARGE) and content[8:_HEAD] == b"WAVE"


def mended(content: Content) -> Content:
    """Return a WAV file whose data chunk has its true size, where the header does not know it."""
    data = _data_chunk(content)
    if data is None:
        return content
    start, size = data
    rest = len(content) - start
    unknown = size >= _UNKNOWN_SIZE or (size == 0 and not _is_chunks(content, start))
    if not unknown or rest == 0:
        return content
    head = bytearray(content[:start])
    head[:4] = b"RIFF"
    if content[:4] in _LARGE:
        head[_HEAD : _HEAD + 4] = b"JUNK"
    head[4:8] = (len(content) - _CHUNK).to_bytes(4, "little")
    head[start - 4 : start] = rest.to_bytes(4, "little")
    return bytes(head) + content[start:]


def promises_more(content: Content) -> bool:
    """Tell whether the data chunk of a WAV file is larger than what follows it."""
    data = _data_chunk(content)
    return data is not None and data[1] < _UNKNOWN_SIZE and sum(data) > len(content)


def _data_chunk(content: Content) -> tuple[int, int] | None:
    """Return where the samples start and how many bytes the header says there are."""
    if not is_wav(content):
        return None
    position = _HEAD
    while position + _CHUNK <= len(content):
        size = int.from_bytes(content[position + 4 : position + _CHUNK], "little")
        if content[position : position + 4] == b"data":
            if content[:4] in _LARGE:
                size = int.from_bytes(content[_LARGE_SIZE], "little")
            return position + _CHUNK, size
        position += _CHUNK + size + size % 2  # chunks start at even offsets
    return None


def _is_chunks(content: Content, position: int) -> bool:
    """Tell whether further chunks fill the file from here to its end: then there really are no samples."""
    while position + _CHUNK <= len(content):
        name = content[position : position + 4]
        if not all(0x20 <= letter < 0x7F for letter in name):
            return False
        size = int.from_bytes(content[position + 4 : position + _CHUNK], "little")
        position += _CHUNK + size + size % 2
    return position >= len(content)
