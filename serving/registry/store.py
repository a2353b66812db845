"""Where a registry lies: the few things it needs of a storage, and a folder that does them."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import Protocol

from mome.errors import ServiceError
from mome.storage import new_file

__all__ = ["FolderStore", "Store"]


class Store(Protocol):
    """A tree of files. Names are relative, with ``/``; what is written is never changed."""

    def uri(self, name: str) -> str:
        """Return the address by which other tools find it."""

    def create(self, name: str, content: bytes) -> bool:
        """Write a file that must not exist yet, whole or not at all; False if it exists.

        Of several that create one name at the same time exactly one succeeds.
        """

    def read(self, names: list[str]) -> list[bytes]:
        """Return the content of files.

        Raises:
            ServiceError: If one is not there.
        """

    def names(self, folder: str) -> list[str]:
        """Return the names of what is directly in a folder, sorted; none if there is no such folder."""

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the size of every file below a folder, by its path in it."""

    def upload(self, source: Path, folder: str) -> None:
        """Copy a local folder into a new one."""

    def download(self, folder: str, target: Path) -> None:
        """Copy the files of a folder into a local one that exists."""

    def remove(self, folder: str) -> None:
        """Delete a folder; nothing happens if there is none."""


class FolderStore:
    """A folder on a disk or a shared volume.

    Exactly one writer succeeds because a file gets its name by a hard link, which the file system, also
    over NFS, makes only where nothing has that name; it is written and synchronised before.

    Args:
        root: The folder; made when first written to.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def uri(self, name: str) -> str:
        return (self._root / name).absolute().as_uri()

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

    def read(self, names: list[str]) -> list[bytes]:
        try:
            return [(self._root / name).read_bytes() for name in names]
        except OSError as error:
            raise ServiceError(f"{error.filename}: cannot be read ({error.strerror})") from error

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(p.name for p in (self._root / folder).iterdir() if not p.name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ServiceError(f"{self._root / folder}: cannot be read ({error.strerror})") from error

    def sizes(self, folder: str) -> dict[str, int]:
        top = self._root / folder
        files = [path for path in top.rglob("*") if path.is_file()]
        return {path.relative_to(top).as_posix(): path.stat().st_size for path in files}

    def upload(self, source: Path, folder: str) -> None:
        try:
            shutil.copytree(source, self._root / folder)
        except (OSError, shutil.Error) as error:
            raise ServiceError(f"{self._root / folder}: cannot be written: {error}") from error

    def download(self, folder: str, target: Path) -> None:
        if not (self._root / folder).is_dir():
            raise ServiceError(f"{self._root / folder}: no such folder; the registry's log names it")
        try:
            shutil.copytree(self._root / folder, target, dirs_exist_ok=True)
        except (OSError, shutil.Error) as error:
            raise ServiceError(f"{self._root / folder}: cannot be copied to {target}: {error}") from error

    def remove(self, folder: str) -> None:
        try:
            shutil.rmtree(self._root / folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise ServiceError(f"{self._root / folder}: cannot be deleted ({error.strerror})") from error
