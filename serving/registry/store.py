"""Where a registry is kept: what whoever changes it needs of a storage, and a folder that does it."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import Protocol

from mome.errors import ServiceError
from mome.registry.store import FolderReader, Reader
from mome.storage import new_file

__all__ = ["FolderStore", "Store"]


class Store(Reader, Protocol):
    """A tree of files that grows, and of which whole folders are deleted."""

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that must not exist yet, whole or not at all; False if it exists.

        Of several that create one name at the same time exactly one succeeds.
        """

    def upload(self, source: Path, folder: str) -> None:
        """Copy a local folder into a new one."""

    def remove(self, folder: str) -> None:
        """Delete a folder; nothing happens if there is none."""


class FolderStore(FolderReader):
    """A folder on a disk or a shared volume; made when first written to.

    Exactly one writer succeeds because a file gets its name by a hard link, which the file system, also
    over NFS, makes only where nothing has that name; it is written and synchronised before.
    """

    def create(self, name: str, content: bytes) -> bool:
        path = self._root / name
        written = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            with new_file(written) as temporary, temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            path.hardlink_to(written)
        except FileExistsError:
            return False
        except OSError as error:
            raise ServiceError(
                f"{path}: cannot be written ({error.strerror}); a registry needs a folder that this user may"
                " write to, on a file system with hard links; for a bucket give its s3:// address"
            ) from error
        finally:
            written.unlink(missing_ok=True)
        return True

    def upload(self, source: Path, folder: str) -> None:
        try:
            shutil.copytree(source, self._root / folder)
        except (OSError, shutil.Error) as error:
            raise ServiceError(f"{self._root / folder}: cannot be written: {error}") from error

    def remove(self, folder: str) -> None:
        try:
            shutil.rmtree(self._root / folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise ServiceError(f"{self._root / folder}: cannot be deleted ({error.strerror})") from error
