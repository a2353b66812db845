"""Where a registry lies: what whoever reads it needs of a storage, and a folder that does it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

from mome.errors import ServiceError

__all__ = ["FolderReader", "Reader"]


class Reader(Protocol):
    """A tree of files. Names are relative, with ``/``; what was written is never changed."""

    def uri(self, name: str) -> str:
        """Return the address by which other tools find it."""

    def read(self, names: list[str]) -> list[bytes]:
        """Return the content of files.

        Raises:
            ServiceError: If one is not there.
        """

    def names(self, folder: str) -> list[str]:
        """Return the names of what is directly in a folder, sorted; none if there is no such folder."""

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the size of every file below a folder, by its path in it."""

    def download(self, folder: str, target: Path) -> None:
        """Copy the files of a folder into a local one that exists."""


class FolderReader:
    """A folder on a disk or a shared volume.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def uri(self, name: str) -> str:
        return (self._root / name).absolute().as_uri()

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

    def download(self, folder: str, target: Path) -> None:
        if not (self._root / folder).is_dir():
            raise ServiceError(f"{self._root / folder}: no such folder; the registry's log names it")
        try:
            shutil.copytree(self._root / folder, target, dirs_exist_ok=True)
        except (OSError, shutil.Error) as error:
            raise ServiceError(f"{self._root / folder}: cannot be copied to {target}: {error}") from error
