"""The promoted model of each corpus: what the next one must not fall behind, and what can be gone back to.

registry/champions/<corpus>/
├── champion.json     which version it is, since when, and which it was before
└── <version>/        a copy of the bundle; the champion's and the one before it
"""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

from mome.bundle import read_bundle
from mome.errors import BundleError
from mome.records import Moment, Record
from mome.storage import new_folder

__all__ = ["find", "promote"]

_POINTER = "champion.json"


class _Champion(Record):
    """Content of ``champion.json``."""

    version: str
    at: Moment
    previous: str | None


def find(registry: Path, corpus: str) -> Path | None:
    """Return the bundle folder of the corpus' champion, or None if it has none yet.

    Raises:
        BundleError: If the corpus cannot name a folder, or the promoted bundle is gone.
    """
    folder = _folder(registry, corpus)
    if not (folder / _POINTER).exists():
        return None
    bundle = folder / _Champion.read(folder / _POINTER).version
    if not (bundle / "evaluation.json").is_file():
        raise BundleError(f"{bundle}: {folder / _POINTER} names it, but it holds no bundle")
    return bundle


def promote(registry: Path, corpus: str, bundle: Path) -> Path:
    """Make a bundle the champion, and return its folder in the registry.

    The bundle is copied and verified first; the pointer is renamed into place last. Promoting the
    champion again changes nothing.

    Raises:
        BundleError: If the bundle is damaged, or is of another corpus.
    """
    folder = _folder(registry, corpus)
    candidate = read_bundle(bundle)
    if candidate.evaluation.corpus != corpus:
        raise BundleError(f"{bundle}: was evaluated on {candidate.evaluation.corpus!r}, not on {corpus!r}")
    target = folder / candidate.version
    before = _Champion.read(folder / _POINTER) if (folder / _POINTER).exists() else None
    if before is not None and before.version == candidate.version and target.is_dir():
        return target
    with new_folder(target) as copy:
        shutil.copytree(bundle, copy, dirs_exist_ok=True)
        read_bundle(copy)
    previous = None if before is None else before.version
    _Champion(version=candidate.version, at=datetime.now(UTC), previous=previous).write(folder / _POINTER)
    for old in folder.iterdir():
        if old.is_dir() and old.name not in (candidate.version, previous):
            shutil.rmtree(old)
    return target


def _folder(registry: Path, corpus: str) -> Path:
    # The name becomes a folder: it must not lead out of the registry.
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", corpus):
        raise BundleError(
            f"corpus {corpus!r} cannot name a folder: expected letters, digits, '.', '_' and '-'"
        )
    return registry / "champions" / corpus
