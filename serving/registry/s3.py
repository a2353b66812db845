"""A registry that is kept in a bucket of S3 or of what speaks its protocol."""

from __future__ import annotations

from pathlib import Path

from mome.errors import ConfigError, ServiceError
from mome.registry.s3 import S3Reader, error_code

__all__ = ["S3Store"]

_PROBE = ".conditional-writes"
_TRIES = 20
_EXISTS = ("PreconditionFailed", "412")
_AT_ONCE = ("ConditionalRequestConflict", "409")  # two at the same moment; S3 asks to try again
_UNKNOWN = ("NotImplemented", "501", "InvalidArgument", "InvalidRequest")  # If-None-Match is not known


class S3Store(S3Reader):
    """A prefix of a bucket.

    Exactly one writer succeeds because a file is created with ``If-None-Match: *``, which S3 answers
    with 412 where the name exists. There are servers that ignore that header and overwrite; so it is
    tried out once before the first write, and such a server is refused.

    Args:
        bucket: Must exist.
        prefix: Folder in it; may be empty.
        one_writer: The caller promises that nobody else writes at the same time. A server that
            ignores the condition is then good enough.

    Raises:
        ConfigError: If s3fs is not installed.
    """

    def __init__(self, bucket: str, prefix: str, *, one_writer: bool = False) -> None:
        super().__init__(bucket, prefix)
        self._one_writer = one_writer
        self._tried = False

    def create(self, name: str, content: bytes) -> bool:
        if not self._tried:
            self._try_conditions()
            self._tried = True
        if self._one_writer:
            with self._failures():
                if self._fs.exists(f"{self._root}/{name}"):
                    return False
                self._fs.pipe_file(f"{self._root}/{name}", content)
                return True
        return self._create(name, content)

    def upload(self, source: Path, folder: str) -> None:
        for path in sorted(source.rglob("*")):
            if path.is_file():
                name = path.relative_to(source).as_posix()
                with self._failures():
                    self._fs.put_file(str(path), f"{self._root}/{folder}/{name}")

    def remove(self, folder: str) -> None:
        with self._failures():
            # Not rm(recursive=True): it raises where there is nothing.
            paths = list(self._fs.find(f"{self._root}/{folder}"))
            if paths:
                self._fs.rm(paths)

    def _try_conditions(self) -> None:
        """Refuse a server that does not keep the second of two writers from overwriting the first."""
        if self._one_writer:
            return
        # The first attempt may create the file; the second one must not.
        if self._create(_PROBE, b"") and self._create(_PROBE, b""):
            raise ConfigError(
                f"s3://{self._bucket}: this server ignores If-None-Match, so of two promotions at once one"
                " could be lost; use one that knows conditional writes (AWS S3, MinIO, Ceph, R2), or promise"
                f" that nobody else promotes: s3://{self._root}?writers=one"
            )

    def _create(self, name: str, content: bytes) -> bool:
        for _ in range(_TRIES):
            with self._failures():
                created = self._create_once(name, content)
            if created is not None:
                return created
        raise ServiceError(f"{self.uri(name)}: too many writers at the same time; try again")

    def _create_once(self, name: str, content: bytes) -> bool | None:
        """Return whether the file was created; None if S3 did not decide and asks to try again."""
        try:
            self._fs.pipe_file(f"{self._root}/{name}", content, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            code = error_code(error)
            if code in _EXISTS:
                return False
            if code in _AT_ONCE:
                return None
            if code in _UNKNOWN:
                raise ConfigError(
                    f"s3://{self._bucket}: this server refuses If-None-Match ({code}); use one that knows"
                    f" conditional writes, or s3://{self._root}?writers=one if nobody else promotes"
                ) from error
            raise
        return True
