"""A registry in a bucket of S3 or of what speaks its protocol, through s3fs.

Credentials, region and address of the service are AWS's own: the environment (``AWS_ACCESS_KEY_ID``,
``AWS_SECRET_ACCESS_KEY``, ``AWS_ENDPOINT_URL_S3`` ...), or the role of the pod; in a step of a pipeline they
have names of our own (mome/object_store.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from mome.errors import ConfigError, MomeError, ServiceError
from mome.object_store import use_registry_credentials

__all__ = ["S3Store"]

_PROBE = ".conditional-writes"
_TRIES = 20
_EXISTS = ("PreconditionFailed", "412")
_AT_ONCE = ("ConditionalRequestConflict", "409")  # two at the same moment; S3 asks to try again
_UNKNOWN = ("NotImplemented", "501", "InvalidArgument", "InvalidRequest")  # If-None-Match is not known


class S3Store:
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
        # Imported here: a service that reads its bundle from a folder has no need of it.
        try:
            import s3fs
        except ImportError as error:
            raise ConfigError(
                f"s3://{bucket}: the package s3fs is missing; install the extra 'registry'"
            ) from error
        self._root = "/".join(part for part in (bucket, prefix.strip("/")) if part)
        self._bucket = bucket
        self._one_writer = one_writer
        self._tried = False
        use_registry_credentials()
        self._fs = s3fs.S3FileSystem(
            skip_instance_cache=True,
            use_listings_cache=False,  # what another process wrote must be seen
            config_kwargs={
                "connect_timeout": 5,
                "read_timeout": 60,
                "retries": {"max_attempts": 2},
                # Checksums in a trailer are S3's own; every file here has its SHA-256 in the bundle.
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
            },
        )

    def uri(self, name: str) -> str:
        return f"s3://{self._root}/{name}"

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

    def read(self, names: list[str]) -> list[bytes]:
        if not names:
            return []
        paths = [f"{self._root}/{name}" for name in names]
        with self._failures():
            found = self._fs.cat(paths)  # several at a time
        return [found[path] for path in paths]

    def names(self, folder: str) -> list[str]:
        with self._failures():
            try:
                entries = self._fs.ls(f"{self._root}/{folder}", detail=False)
            except FileNotFoundError as error:
                if _code(error) == "NoSuchBucket":
                    raise
                return []
        return sorted(PurePosixPath(entry).name for entry in entries)

    def sizes(self, folder: str) -> dict[str, int]:
        top = f"{self._root}/{folder}"
        with self._failures():
            found = self._fs.find(top, detail=True)
        return {path.removeprefix(f"{top}/"): int(entry["size"]) for path, entry in found.items()}

    def upload(self, source: Path, folder: str) -> None:
        for path in sorted(source.rglob("*")):
            if path.is_file():
                name = path.relative_to(source).as_posix()
                with self._failures():
                    self._fs.put_file(str(path), f"{self._root}/{folder}/{name}")

    def download(self, folder: str, target: Path) -> None:
        names = self.sizes(folder)
        if not names:
            raise ServiceError(f"{self.uri(folder)}: no such folder; the registry's log names it")
        for name in names:
            # A key may hold anything, a file's name may not lead elsewhere.
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ServiceError(f"{self.uri(folder)}: holds {name!r}, which no bundle does")
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            with self._failures():
                self._fs.get_file(f"{self._root}/{folder}/{name}", str(target / name))

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
            code = _code(error)
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

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn what s3fs raises into one sentence; our own mistakes keep their traceback."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except FileNotFoundError as error:
            if _code(error) == "NoSuchBucket":
                raise ConfigError(f"s3://{self._bucket}: no such bucket; create it first") from error
            raise ServiceError(f"s3://{self._root}: not there: {error}") from error
        except (OSError, BotoCoreError, ClientError) as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> MomeError:
        name, code = type(error).__name__, _code(error)
        at = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS"
        where = f"s3://{self._root} at {at}"
        if name in ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"):
            return ConfigError(
                f"{where}: no complete credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, on a"
                " cluster from a Secret, or give the pod a role"
            )
        if isinstance(error, PermissionError):
            return ServiceError(
                f"{where}: access was refused ({code or error}); check AWS_ACCESS_KEY_ID and"
                " AWS_SECRET_ACCESS_KEY, and that they may list, read, write and delete there"
            )
        if name in ("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError") or not code:
            return ServiceError(
                f"{where}: does not answer ({name}: {error}); check AWS_ENDPOINT_URL_S3 and the network"
            )
        return ServiceError(f"{where}: the storage failed ({code}: {error})")


def _code(error: BaseException) -> str:
    """Return S3's word for an error that s3fs translated."""
    response: Any = getattr(error.__cause__ or error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
