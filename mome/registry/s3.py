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

__all__ = ["S3Reader", "error_code"]


class S3Reader:
    """A prefix of a bucket.

    Args:
        bucket: Must exist.
        prefix: Folder in it; may be empty.

    Raises:
        ConfigError: If s3fs is not installed.
    """

    def __init__(self, bucket: str, prefix: str) -> None:
        # Imported here: a service that reads its bundle from a folder has no need of it.
        try:
            import s3fs
        except ImportError as error:
            raise ConfigError(
                f"s3://{bucket}: the package s3fs is missing; install the extra 'registry'"
            ) from error
        self._root = "/".join(part for part in (bucket, prefix.strip("/")) if part)
        self._bucket = bucket
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

    def read(self, names: list[str]) -> list[bytes]:
        if not names:
            return []
        paths = [f"{self._root}/{name}" for name in names]
        with self._failures():
            found = self._fs.cat(paths)  # several at a time
        return [found[path] for path in paths]

    def read_range(self, name: str, start: int, stop: int) -> bytes:
        """Return the bytes from ``start`` to before ``stop`` of a file, fewer or none if it ends before.

        Raises:
            ServiceError: If it is not there, or the storage does not answer.
        """
        with self._failures():
            try:
                content: bytes = self._fs.cat_file(f"{self._root}/{name}", start=start, end=stop)
            except OSError as error:
                if error_code(error) in ("InvalidRange", "416"):  # it begins behind the end
                    return b""
                raise
        return content

    def names(self, folder: str) -> list[str]:
        with self._failures():
            try:
                entries = self._fs.ls(f"{self._root}/{folder}", detail=False)
            except FileNotFoundError as error:
                if error_code(error) == "NoSuchBucket":
                    raise
                return []
        return sorted(PurePosixPath(entry).name for entry in entries)

    def sizes(self, folder: str) -> dict[str, int]:
        top = f"{self._root}/{folder}"
        with self._failures():
            found = self._fs.find(top, detail=True)
        return {path.removeprefix(f"{top}/"): int(entry["size"]) for path, entry in found.items()}

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

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turn what s3fs raises into one sentence; our own mistakes keep their traceback."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except FileNotFoundError as error:
            if error_code(error) == "NoSuchBucket":
                raise ConfigError(f"s3://{self._bucket}: no such bucket; create it first") from error
            raise ServiceError(f"s3://{self._root}: not there: {error}") from error
        except (OSError, BotoCoreError, ClientError) as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> MomeError:
        name, code = type(error).__name__, error_code(error)
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


def error_code(error: BaseException) -> str:
    """Return S3's word for an error that s3fs translated."""
    response: Any = getattr(error.__cause__ or error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
