"""Which scale to serve right now: what monitoring published, else the bundle's default.

Serving pulls and monitoring publishes. Every worker looks at the file's identity before a request
(one ``stat``) and reads it again only when it changed, so a switch reaches all workers without a
message between them. On a cluster the file is a mounted ConfigMap key; nothing here changes.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from mome.errors import MomeError
from mome.records import ScaleDecision
from mome.scales import Scale

__all__ = ["ScaleSource", "ServedScale"]

_log = logging.getLogger(__name__)
_Identity = tuple[int, int, int]


@dataclass(frozen=True)
class ServedScale:
    """The scale in force, and why."""

    scale: Scale
    source: Literal["bundle", "scale file"]
    reason: str
    at: datetime | None  # of the decision; None for the bundle's default
    decision: ScaleDecision | None = None  # all of it


class ScaleSource:
    """Follow a scale file.

    Args:
        path: ``scale.json``, or None to serve the default for ever.
        default: Scale while there is no file; deleting the file returns to it.
        available: Scales that the model has.
    """

    def __init__(self, path: Path | None, *, default: Scale, available: Collection[Scale]) -> None:
        self._path = path
        self._available = available
        self._default = ServedScale(default, "bundle", "no scale file: the bundle's default", None)
        self._current = self._default
        self._seen: _Identity | None = None

    def current(self) -> ServedScale:
        """Return the scale in force.

        A file that cannot be read or names a scale the model lacks changes nothing: the last good
        scale stays, and the problem is logged once per version of the file.
        """
        identity = self._identity()
        if identity == self._seen:
            return self._current
        # Remembered before reading: a broken version is then reported once, not per request.
        self._seen = identity
        if identity is None:
            self._current = self._default
            return self._current
        try:
            before, self._current = self._current, self._read()
            # The file is new as well when only the noise is another, which requests of their own scale go by.
            if (before.scale, before.source) != (self._current.scale, self._current.source):
                _log.info("serving scale %s: %s", self._current.scale, self._current.reason)
        except (MomeError, OSError) as error:
            _log.error("still serving scale %s: %s", self._current.scale, error)
        return self._current

    def _identity(self) -> _Identity | None:
        if self._path is None:
            return None
        try:
            status = self._path.stat()
        except OSError:
            return None
        # A rename brings a new inode; a write in place, a new time or size.
        return status.st_mtime_ns, status.st_ino, status.st_size

    def _read(self) -> ServedScale:
        assert self._path is not None
        decision = ScaleDecision.read(self._path)
        scale = Scale.parse(decision.scale)
        if scale not in self._available:
            names = ", ".join(map(str, self._available))
            raise MomeError(f"{self._path}: the model has no scale {scale}; it has {names}")
        return ServedScale(scale, "scale file", decision.reason, decision.at, decision)
