"""What a row of a list says about its file: where it lies, and an id made of its path."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from pathlib import Path, PurePosixPath

from mome.errors import CorpusError

__all__ = ["id_of_path", "inside", "require_file_name"]


def inside(folder: Path, path: str, where: str) -> Path:
    """Return the file's place, which a list from somewhere else must not choose outside its folder.

    Raises:
        CorpusError: If there is no path, or it leaves the folder.
    """
    if not path:
        raise CorpusError(f"{where}: no path")
    normal = posixpath.normpath(path.replace("\\", "/"))
    if posixpath.isabs(normal) or normal.split("/")[0] == ".." or re.match(r"[A-Za-z]:", normal):
        raise CorpusError(
            f"{where}: path {path!r} leaves the corpus folder {folder}; media lie beside the manifest"
        )
    return _as_stored(folder / normal)


def _as_stored(path: Path) -> Path:
    """Return the path with its accents as the disk has them: a list and its files may differ in that."""
    if path.exists():
        return path
    forms = (path.parent / unicodedata.normalize(form, path.name) for form in ("NFC", "NFD"))
    return next((form for form in forms if form.exists()), path)


def id_of_path(path: str) -> str:
    """Return a path without its ending, with dashes: ids become file names in the shards."""
    return str(PurePosixPath(posixpath.normpath(path)).with_suffix("")).replace("/", "-")


def require_file_name(utterance_id: str, where: str) -> None:
    """Check that an id can be a file name.

    Raises:
        CorpusError: If it cannot.
    """
    if not re.fullmatch(r"[^\W_][^/\\\x00-\x1f]{0,199}", utterance_id):
        raise CorpusError(
            f"{where}: id {utterance_id!r} cannot be a file name; it must start with a letter or digit, have "
            "at most 200 characters and no slash"
        )
