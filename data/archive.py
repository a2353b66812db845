"""The packed form of a raw corpus: a few tar files instead of many small ones, the same bytes every time.

    corpus.json     name, speaker_disjoint
    manifest.csv    one `ArchiveRow` per utterance
    shards/*.tar    the recordings as they came, not decoded

Many small files are slow to version (DVC hashes and copies each alone), hence tar files. An utterance
goes to a shard by a hash of its id, so that adding one changes one shard, not all that follow.
"""

from __future__ import annotations

import csv
import hashlib
import io
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, NamedTuple, cast

from data.corpora.manifest import CorpusCard
from data.corpora.raw import Corpus, RawMedia, RawUtterance
from data.corpora.splits import stable_rank
from mome.errors import CorpusError
from mome.progress import progress
from mome.records import Split

__all__ = [
    "ARCHIVE_VERSION",
    "ArchiveRow",
    "Located",
    "file_sums",
    "locate",
    "pack",
    "read_recordings",
    "read_rows",
]

ARCHIVE_VERSION = 1  # to be raised whenever a reader or this file packs the same corpus to other bytes


@dataclass(frozen=True)
class ArchiveRow:
    """One utterance of a packed corpus.

    ``audio`` and ``video`` name members of the tar file ``shard``; they are the same for a video with
    sound, and empty when there is none, which ``problem`` then explains.
    """

    utterance_id: str
    split: Split
    speaker: str
    transcript: str
    shard: str
    audio: str
    video: str
    problem: str


class _Extent(NamedTuple):
    """Where a member's content lies in its tar file, in bytes."""

    offset: int
    size: int


@dataclass(frozen=True)
class Located:
    """One utterance of a packed corpus, and where in its shard the recordings are."""

    row: ArchiveRow
    audio: _Extent | None
    video: _Extent | None


def pack(corpus: Corpus, folder: Path, utterances_per_shard: int) -> None:
    """Write a corpus into an empty folder."""
    (folder / "shards").mkdir()
    sizes = Counter(utterance.split for utterance in corpus.utterances)
    shards_of = {split: -(-size // utterances_per_shard) for split, size in sizes.items()}
    rows: list[ArchiveRow] = []
    packed = zip(corpus.utterances, corpus.media(), strict=True)
    for utterance, media in progress(packed, f"packing {corpus.name}", total=len(corpus.utterances)):
        number = int.from_bytes(stable_rank(utterance.utterance_id)[:8], "big") % shards_of[utterance.split]
        shard = f"{utterance.split}-{number:05d}.tar"
        with _continued(folder / "shards" / shard) as tar:
            rows.append(_add(tar, shard, utterance, media))
    for shard in {row.shard for row in rows}:
        with _continued(folder / "shards" / shard) as tar:
            tar.close()  # writes the end of the archive
    with (folder / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _columns(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    card = CorpusCard(name=corpus.name, speaker_disjoint=corpus.speaker_disjoint)
    (folder / "corpus.json").write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_rows(folder: Path) -> list[ArchiveRow]:
    """Read the manifest of a packed corpus.

    Raises:
        CorpusError: If the folder holds none.
    """
    try:
        with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames != _columns():
                raise CorpusError(
                    f"{folder}: manifest.csv has columns {reader.fieldnames}; expected {_columns()}"
                )
            return [ArchiveRow(**cast(dict[str, Split], values)) for values in reader]
    except FileNotFoundError:
        raise CorpusError(f"{folder}: no manifest.csv; expected a packed corpus") from None


def locate(folder: Path, rows: Iterable[ArchiveRow]) -> list[Located]:
    """Find the recordings of ``rows`` in their shards, each of which is scanned once.

    Neighbours of a corpus lie in different shards, and a tar file has no table of contents: to look
    into every shard again for every few rows takes the square of the time.

    Raises:
        CorpusError: If a shard cannot be read, or does not hold what its rows name.
    """
    found: list[Located] = []
    contents: dict[str, dict[str, _Extent]] = {}
    for row in rows:
        try:
            if row.shard not in contents:
                contents[row.shard] = _contents(folder / "shards" / row.shard)
        except (OSError, tarfile.TarError) as error:
            raise _unreadable(row, error) from error
        held = contents[row.shard]
        if missing := sorted({row.audio, row.video} - {""} - held.keys()):
            raise _unreadable(row, f"{missing[0]} is missing")
        found.append(Located(row, held.get(row.audio), held.get(row.video)))
    return found


def read_recordings(
    folder: Path, located: Iterable[Located]
) -> Iterator[tuple[ArchiveRow, bytes | None, bytes | None]]:
    """Yield rows with the content of their audio and video file.

    Raises:
        CorpusError: If a shard has become shorter than it was.
    """
    for each in located:
        try:
            # Opened anew for each, as in `pack`.
            with (folder / "shards" / each.row.shard).open("rb") as file:
                audio = _content(file, each.audio)
                video = audio if each.video == each.audio else _content(file, each.video)
        except OSError as error:
            raise _unreadable(each.row, error) from error
        yield each.row, audio, video


def file_sums(folder: Path) -> dict[str, str]:
    """Return the sha256 sum of every file below a folder, by path relative to it, sorted."""
    sums: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                sums[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums


@contextmanager
def _continued(shard: Path) -> Iterator[tarfile.TarFile]:
    """Open a tar file that has no end yet, to add to it.

    Opened anew for each utterance: a large corpus has more shards than a process may have open files.
    """
    with shard.open("ab") as file:
        yield tarfile.TarFile(fileobj=file, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8")


def _columns() -> list[str]:
    return [field.name for field in fields(ArchiveRow)]


def _add(tar: tarfile.TarFile, shard: str, utterance: RawUtterance, media: RawMedia) -> ArchiveRow:
    names = {"audio": "", "video": ""}
    if media.audio is not None:
        names["audio"] = f"{utterance.utterance_id}.audio{media.audio.suffix}"
        _add_member(tar, names["audio"], media.audio.content)
    if media.video is not None and media.video is media.audio:
        names["video"] = names["audio"]
    elif media.video is not None:
        names["video"] = f"{utterance.utterance_id}.video{media.video.suffix}"
        _add_member(tar, names["video"], media.video.content)
    return ArchiveRow(
        utterance_id=utterance.utterance_id,
        split=utterance.split,
        speaker=utterance.speaker,
        transcript=utterance.transcript,
        shard=shard,
        audio=names["audio"],
        video=names["video"],
        problem=media.problem,
    )


def _add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    # A fresh TarInfo has owner 0, time 0 and mode 0644: nothing in it tells when or by whom.
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _contents(shard: Path) -> dict[str, _Extent]:
    with tarfile.open(shard, "r:", encoding="utf-8") as tar:
        return {member.name: _Extent(member.offset_data, member.size) for member in tar if member.isreg()}


def _content(shard: IO[bytes], extent: _Extent | None) -> bytes | None:
    if extent is None:
        return None
    shard.seek(extent.offset)
    content = shard.read(extent.size)
    if len(content) < extent.size:
        raise OSError(f"{len(content)} bytes are left of {extent.size}")
    return content


def _unreadable(row: ArchiveRow, error: object) -> CorpusError:
    return CorpusError(f"{row.shard}: cannot read the recording of {row.utterance_id}: {error}")
