"""The files that parameters name: that they are there, and what tells one content from another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from mome.config import CORPUS, EMBEDDED, MADE, NO_MODEL, Params, noise_sources
from mome.errors import ConfigError

__all__ = ["NO_FILES", "fingerprint"]

NO_FILES = "none"  # not an empty text, which a parameter of a step may not survive as


def fingerprint(params: Params) -> str:
    """Return a text that changes with the files; a result that was made from others is not reused then.

    Names, sizes and times of change tell one content from another: reading billions of weights would take
    longer than all other checks of a run.

    Args:
        params: Some of their values may be paths: models of ``foundation`` and ``prepare``, ``noise``.

    Returns:
        `NO_FILES` if they name none.

    Raises:
        ConfigError: If there is no such file or folder.
    """
    digest, found = hashlib.sha256(), False
    for name, path in _named(params):
        if not path.exists():
            raise ConfigError(
                f"{name} is {path}: no such file or folder in this step; is its volume mounted? On a cluster "
                "put it on volume mome-models and give its whole path, /models/..."
            )
        found = True
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            about = file.stat()
            digest.update(f"{name}\0{file}\0{about.st_size}\0{about.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16] if found else NO_FILES


def _named(params: Params) -> Iterator[tuple[str, Path]]:
    for name, source in (
        ("foundation.audio", params.foundation.audio),
        ("foundation.llm", params.foundation.llm),
    ):
        # What is neither a path nor there is a name on a hub.
        if source != EMBEDDED and (source.startswith(("/", ".")) or Path(source).exists()):
            yield name, Path(source)
    if params.foundation.video != EMBEDDED:
        yield "foundation.video", Path(params.foundation.video)
    for name, model in (
        ("prepare.face_detector", params.prepare.face_detector),
        ("prepare.face_landmarks", params.prepare.face_landmarks),
    ):
        if model != NO_MODEL:
            yield name, Path(model)
    for name, noise in (("train.noise", params.train.noise), ("evaluate.noise", params.evaluate.noise)):
        for source in noise_sources(noise):
            if source != CORPUS and source not in MADE:
                yield name, Path(source)
