"""What every reader delivers: who said what, and the recordings as they are, not yet decoded."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mome.errors import CorpusError
from mome.records import Split

__all__ = [
    "VIDEO_SUFFIXES",
    "Corpus",
    "MediaFile",
    "RawMedia",
    "RawUtterance",
    "corpus_name",
    "file_stamp",
    "fingerprint",
    "read_media",
    "require_unique_ids",
]

# A file of such a kind may hold sound alone: that shows when it is decoded.
VIDEO_SUFFIXES = frozenset(
    {
        ".3gp",
        ".avi",
        ".flv",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".ts",
        ".webm",
        ".wmv",
    }
)


@dataclass(frozen=True)
class RawUtterance:
    """One row of a corpus; ``utterance_id`` is unique in it and can be part of a file name."""

    utterance_id: str
    split: Split
    speaker: str
    transcript: str


@dataclass(frozen=True)
class MediaFile:
    """A recording as stored; the suffix, such as ``.wav``, tells its kind."""

    suffix: str
    content: bytes


@dataclass(frozen=True)
class RawMedia:
    """The files of one utterance.

    Args:
        audio: The file with the sound; None if it could not be had.
        video: The file with the face or mouth; the very same object as ``audio`` when one file holds
            both, None without video.
        problem: Why a file is absent, one sentence; empty when all is well.
    """

    audio: MediaFile | None
    video: MediaFile | None = None
    problem: str = ""


@dataclass(frozen=True)
class Corpus:
    """An opened corpus: the plan is in memory, the recordings are still where they were.

    Args:
        name: Lower case, fit for a file name.
        speaker_disjoint: The corpus promises that no speaker occurs in two splits.
        key: Changes whenever the content may have changed; cheap to make.
        utterances: In a stable order.
        media: Starts delivering the files of every utterance, in the order of ``utterances``.
    """

    name: str
    speaker_disjoint: bool
    key: str
    utterances: list[RawUtterance]
    media: Callable[[], Iterator[RawMedia]]


def corpus_name(text: str) -> str:
    """Return ``text`` as the name of a corpus: lower case letters, digits, dots, dashes, underscores."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-.") or "corpus"


def read_media(audio: Path, video: Path | None = None) -> RawMedia:
    """Read the files of an utterance as they are; one that is not there becomes the ``problem``.

    A file with a video suffix given as ``audio`` alone counts as both.
    """
    if video is None and audio.suffix.lower() in VIDEO_SUFFIXES:
        both, problem = _read_file(audio)
        return RawMedia(both, both, problem)
    sound, problem = _read_file(audio)
    if video is None:
        return RawMedia(sound, None, problem)
    face, video_problem = _read_file(video)
    return RawMedia(sound, face, problem or video_problem)


def _read_file(path: Path) -> tuple[MediaFile | None, str]:
    try:
        return MediaFile(path.suffix.lower(), path.read_bytes()), ""
    except OSError as error:
        return None, f"{path.name}: {(error.strerror or type(error).__name__).lower()}"


def file_stamp(path: Path) -> str:
    """Return size and time of change of a file, without reading it; a missing file has a stamp, too."""
    try:
        status = path.stat()
    except OSError:
        return f"{path}: missing"
    return f"{path}: {status.st_size} {status.st_mtime_ns}"


def fingerprint(parts: Iterable[str]) -> str:
    """Return a hash of the texts, sensitive to where one ends and the next begins."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()


def require_unique_ids(ids: Iterable[str], where: Path) -> None:
    """Check that no utterance id occurs twice.

    Raises:
        CorpusError: Naming the first ids that do.
    """
    seen: set[str] = set()
    twice: dict[str, None] = {}
    for utterance_id in ids:
        if utterance_id in seen:
            twice[utterance_id] = None
        seen.add(utterance_id)
    if twice:
        shown = ", ".join(list(twice)[:5])
        raise CorpusError(
            f"{where}: {len(twice)} utterance ids occur more than once: {shown}; ids must be unique"
        )
