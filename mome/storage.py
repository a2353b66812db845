"""Write files and folders whole or not at all: to a temporary place first, then renamed."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["new_file", "new_folder", "resumed_folder", "write_bytes", "write_text"]


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it becomes ``path``, on error it is gone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _share(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder; on success it replaces ``path``, on error it is gone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    temporary.chmod(0o755)
    try:
        yield temporary
        _put(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def resumed_folder(path: Path, key: str) -> Iterator[Path]:
    """Yield a folder that outlives whatever ends the work in it; on success it replaces ``path``.

    It lies beside ``path``. The next call with the same key finds it as it was left, so what is written
    into it has to be whole file by file; success under another key removes it. What is hidden in it,
    such as a file that was being written, does not become part of ``path``.

    Args:
        path: Folder to replace.
        key: Names the inputs of the work: word characters.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = path.with_name(f".{path.name}.{key}.part")
    kept.mkdir(exist_ok=True)
    try:
        yield kept
        for hidden in list(kept.rglob(".*")):
            if hidden.is_dir():
                shutil.rmtree(hidden)
            else:
                hidden.unlink(missing_ok=True)
        _put(kept, path)
        for other in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
            shutil.rmtree(other)
    finally:
        with suppress(OSError):  # it is gone, or there is work in it
            kept.rmdir()


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, whole or not at all."""
    with new_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write ``content`` as UTF-8 to ``path``, whole or not at all."""
    write_bytes(path, content.encode())


def _put(folder: Path, path: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            _share(file)
    if path.exists():
        shutil.rmtree(path)
    folder.replace(path)


def _share(file: Path) -> None:
    """Let others read a file as the umask says.

    mkstemp and safetensors make files private, and the next stage may run as another user.
    """
    umask = os.umask(0)
    os.umask(umask)
    file.chmod((file.stat().st_mode | 0o666) & ~umask)
