"""Where the shards of a dataset lie: in a folder, or in a bucket, of which only what is asked for is fetched.

Beside the manifest there is a folder ``shards``; where they lie in a bucket, a file of that name with their
address (`mome.speech.dataset` writes it).
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, cast

from mome.errors import CorpusError, MomeError
from mome.registry.s3 import S3Reader

__all__ = ["BucketShards", "FolderShards", "Shards", "shards_of"]

# The list of a shard of 500 clips with sound and lips takes some 110 kB: one request.
_BEGINNING = 256 * 1024
# A request takes as long for so much as for less, and the sound and the lips of a clip lie together.
_AT_LEAST = 128 * 1024
# What is read in order comes in requests of so much, and this is all of the shards that is held.
_AHEAD = 1024 * 1024
_GAP = 64 * 1024  # what is left out between two reads in order: headers, or lips where sound alone is read


class Shards(Protocol):
    """The shards of a dataset, by name."""

    def names(self) -> list[str]:
        """Return the names of all that are there, sorted."""

    def uri(self, name: str) -> str:
        """Return how a message names a shard."""

    def open(self, name: str) -> BinaryIO:
        """Return a shard as a file, from its beginning.

        Raises:
            FileNotFoundError: If there is no such shard in the folder.
            ServiceError: If there is none in the bucket, or the bucket does not answer.
        """

    def read(self, name: str, start: int, size: int) -> bytes:
        """Return ``size`` bytes of a shard from byte ``start`` on, fewer if it ends before.

        Raises:
            OSError: If the file cannot be read.
            ServiceError: If the bucket does not answer; it names the shard and what was asked.
        """


class FolderShards:
    """Shards on a disk or a shared volume.

    Args:
        folder: That holds them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        return sorted(path.name for path in self._folder.glob("*.tar"))

    def uri(self, name: str) -> str:
        return str(self._folder / name)

    def open(self, name: str) -> BinaryIO:
        return (self._folder / name).open("rb")

    def read(self, name: str, start: int, size: int) -> bytes:
        with self.open(name) as file:
            file.seek(start)
            return file.read(size)


class BucketShards:
    """Shards in a bucket. A fork of this process reads on, over connections of its own.

    What is read in order is fetched a megabyte at a time, what is read here and there a clip at a time, and
    nothing is held but what came last.

    Args:
        bucket: Must exist.
        prefix: Folder in it that holds the shards.

    Raises:
        ConfigError: If s3fs is not installed.
    """

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket, self._prefix = bucket, prefix
        self._reader, self._process = S3Reader(bucket, prefix), os.getpid()
        self._held = _Held("", 0, b"")

    def names(self) -> list[str]:
        return [name for name in self._connected().names("") if name.endswith(".tar")]

    def uri(self, name: str) -> str:
        return self._reader.uri(name)

    def open(self, name: str) -> BinaryIO:
        return cast(BinaryIO, io.BufferedReader(_Ranges(self, name), _BEGINNING))

    def read(self, name: str, start: int, size: int) -> bytes:
        begin, end = self._held.start, self._held.start + len(self._held.content)
        if name != self._held.name or not begin <= start or start + size > end:
            in_order = name == self._held.name and begin <= start <= end + _GAP
            content = self.fetch(name, start, max(size, _AHEAD if in_order else _AT_LEAST))
            self._held, begin = _Held(name, start, content), start
        return self._held.content[start - begin : start - begin + size]

    def fetch(self, name: str, start: int, size: int) -> bytes:
        """Return what `read` does by a request of its own."""
        try:
            content = self._connected().read_range(name, start, start + size)
        except MomeError as error:
            raise type(error)(f"{self.uri(name)}: asked for {size} bytes from {start} on: {error}") from error
        if len(content) > size:
            raise CorpusError(
                f"{self.uri(name)}: asked for {size} bytes from {start} on, but {len(content)} came; "
                "expected a server that knows ranges"
            )
        return content

    def _connected(self) -> S3Reader:
        # The thread that s3fs calls from is not there after a fork.
        if self._process != os.getpid():
            self._reader, self._process = S3Reader(self._bucket, self._prefix), os.getpid()
        return self._reader


def shards_of(dataset: Path) -> Shards:
    """Return the shards of a dataset folder, wherever they lie.

    Raises:
        ConfigError: If they lie in a bucket, and s3fs is not installed.
        CorpusError: If the file ``shards`` holds no address of a bucket.
    """
    place = dataset / "shards"
    if not place.is_file():
        return FolderShards(place)
    address = place.read_bytes().decode(errors="replace").strip()
    scheme, _, rest = address.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise CorpusError(f"{place}: holds {address[:80]!r}, expected s3://bucket/prefix")
    return BucketShards(bucket, prefix)


class _Held(NamedTuple):
    """What the newest request brought: bytes of a shard from ``start`` on."""

    name: str
    start: int
    content: bytes


class _Ranges(io.RawIOBase):
    """A shard of a bucket as a file; whoever reads it buffers."""

    def __init__(self, shards: BucketShards, name: str) -> None:
        self._shards, self._name, self._place = shards, name, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("how long it is was not asked")
        self._place = offset + (self._place if whence == io.SEEK_CUR else 0)
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = self._shards.fetch(self._name, self._place, len(buffer))
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)
