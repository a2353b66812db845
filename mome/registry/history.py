"""What happened to the versions of one model, as the entries of a log, and what follows from it.

There is no pointer to the champion that could be half written or disagree with anything: the champion,
and the stage of every version, are computed from the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, FiniteFloat

from mome.bundle import Bundle
from mome.errors import BundleError, MomeError
from mome.records import Modality, Moment, Record, ScaleText

__all__ = ["Entry", "Event", "History", "Lineage", "Stage", "Version", "lineage_file", "registered_as"]

Event = Literal["registered", "promoted", "rolled back", "removed"]
Stage = Literal["candidate", "champion", "archived", "removed"]
VersionText = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Lineage(Record):
    """Where a version comes from, beside its data; an empty text is what nobody said."""

    # A log is also read by images that are older than its newest entry, and they have to serve on: a fact
    # that they do not know of is none.
    model_config = ConfigDict(extra="ignore")

    code: str = ""  # git commit, with "-dirty" when the working tree had changes
    run: str = ""  # run of the pipeline
    # Container images, by digest where there is one.
    image: str = ""  # that trained
    serve_image: str = ""  # that packaged and rehearsed; the one to serve with
    monitor_image: str = ""  # of the same code; the one to watch with


class Version(Record):
    """One registered bundle."""

    corpus: str
    version: VersionText
    name: str
    default_scale: ScaleText
    modality: Modality  # the richest one: what the figures are of
    revision: str  # of the corpus
    gate: str  # what the gate said
    figures: dict[str, FiniteFloat]  # word error rates, as wer_a4v2_clean
    lineage: Lineage
    # Every upload has a folder of its own, so that two of equal content never share files. The form is
    # fixed: a folder of this name is deleted one day.
    place: Annotated[str, Field(pattern=r"^[0-9a-f]{12}\.\d{8}T\d{6}\.[0-9a-f]{8}$")]
    manifest_sha256: Sha256  # of bundle.json, which has the sum of every other file


def lineage_file(bundle: Path) -> Path:
    """Return where a pulled bundle's `Version` is: beside it, for a bundle admits no more files."""
    return bundle.with_name(f"{bundle.name}.version.json")


def registered_as(bundle: Bundle) -> Version | None:
    """Return what the registry said of a bundle when it was pulled; None if it came from elsewhere.

    A service runs without it: a file of another version, or one that cannot be read, counts as none.
    """
    try:
        version = Version.read(lineage_file(bundle.path))
    except (MomeError, OSError):
        return None
    return version if version.version == bundle.version else None


class Entry(Record):
    """One thing that happened; written once and never changed."""

    entry_id: str
    at: Moment
    by: str
    event: Event
    version: VersionText
    reason: str
    replaced: VersionText | None = None  # the champion before, of a promotion or a way back
    registered: Version | None = None  # of a registration


class History:
    """The log of one model, read from its beginning.

    Args:
        corpus: Whose log it is.
        entries: In the order in which they were written.

    Raises:
        BundleError: If an entry is about a version that no earlier entry registered.
    """

    def __init__(self, corpus: str, entries: Iterable[Entry]) -> None:
        self.corpus = corpus
        self.entries = tuple(entries)
        self.versions: dict[str, Version] = {}  # in the order of registration
        self._line: list[str] = []  # champions, newest last: the way back
        self._promoted: dict[str, datetime] = {}
        self._removed: set[str] = set()
        self._left: dict[str, Entry] = {}  # versions that somebody went back from, and that entry
        for entry in self.entries:
            self._take(entry)

    @property
    def champion(self) -> Version | None:
        """The version in use."""
        return self.versions[self._line[-1]] if self._line else None

    def in_use(self) -> Version:
        """Return the champion.

        Raises:
            BundleError: If there is none yet.
        """
        if self.champion is None:
            known = ", ".join(self.versions) or "none"
            raise BundleError(f"{self.corpus}: there is no champion yet; versions: {known}")
        return self.champion

    @property
    def way_back(self) -> tuple[str, ...]:
        """Earlier champions whose files are kept, the one before the champion first."""
        champion = self._line[-1] if self._line else None
        earlier = dict.fromkeys(reversed(self._line))
        return tuple(version for version in earlier if version != champion and version not in self._removed)

    def stage(self, version: str) -> Stage:
        """Return the stage of a registered version."""
        if self._line and self._line[-1] == version:
            return "champion"
        if version in self._removed:
            return "removed"
        return "archived" if version in self._promoted else "candidate"

    def promoted_at(self, version: str) -> datetime | None:
        """Return since when, or when last, a version was the champion."""
        return self._promoted.get(version)

    def left(self, version: str) -> Entry | None:
        """Return the way back that led away from a version, unless it was promoted again since."""
        return self._left.get(version)

    def get(self, version: str) -> Version:
        """Return a version whose files are kept.

        Raises:
            BundleError: If it was never registered, or its files were removed.
        """
        if version not in self.versions:
            known = ", ".join(self.versions) or "none"
            raise BundleError(f"{self.corpus}: no version {version!r} is registered; there are: {known}")
        if version in self._removed:
            raise BundleError(f"{self.corpus}: the files of {version} were removed; register it again")
        return self.versions[version]

    def _take(self, entry: Entry) -> None:
        version = entry.version
        if entry.event == "registered" and entry.registered is not None:
            self.versions[version] = entry.registered
            self._removed.discard(version)
        elif version not in self.versions:
            raise BundleError(f"{self.corpus}: damaged log: {version} was {entry.event}, but not registered")
        elif entry.event == "removed":
            self._removed.add(version)
        else:
            if entry.event == "rolled back" and version in self._line:
                newest = len(self._line) - 1 - self._line[::-1].index(version)
                # Also those in between: whoever passes over a champion does not want it back either.
                self._left |= dict.fromkeys(self._line[newest:], entry)
                del self._line[newest:]
            self._left.pop(version, None)
            self._line.append(version)
            self._promoted[version] = entry.at
