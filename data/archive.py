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
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import cast

from data.corpora.manifest import CorpusCard
from data.corpora.raw import Corpus, RawMedia, RawUtterance
from data.corpora.splits import stable_rank
from mome.errors import CorpusError
from mome.progress import progress
from mome.records import Split

__all__ = ["ARCHIVE_VERSION", "ArchiveRow", "file_sums", "pack", "read_recordings", "read_rows"]

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


def pack(corpus: Corpus, folder: Path, utterances_per_shard: int) -> None:
    """Write a corpus into an empty folder."""
    (folder / "shards").mkdir()
    sizes = Counter(utterance.split for utterance in corpus.utterances)
    shards_of = {split: -(-size // utterances_per_shard) for split, size in sizes.items()}
    rows: list[ArchiveRow] = []
    with ExitStack() as stack:
        tars: dict[str, tarfile.TarFile] = {}
        packed = zip(corpus.utterances, corpus.media(), strict=True)
        for utterance, media in progress(packed, f"packing {corpus.name}", total=len(corpus.utterances)):
            number = (
                int.from_bytes(stable_rank(utterance.utterance_id)[:8], "big") % shards_of[utterance.split]
            )
            shard = f"{utterance.split}-{number:05d}.tar"
            if shard not in tars:
                tars[shard] = stack.enter_context(
                    tarfile.open(folder / "shards" / shard, "w", format=tarfile.PAX_FORMAT, encoding="utf-8")
                )
            rows.append(_add(tars[shard], shard, utterance, media))
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


def read_recordings(
    folder: Path, rows: Iterable[ArchiveRow]
) -> Iterator[tuple[ArchiveRow, bytes | None, bytes | None]]:
    """Yield rows with the content of their audio and video file.

    Raises:
        CorpusError: If a shard does not hold what its rows name.
    """
    with ExitStack() as stack:
        tars: dict[str, tarfile.TarFile] = {}
        for row in rows:
            try:
                if row.shard not in tars:
                    path = folder / "shards" / row.shard
                    tars[row.shard] = stack.enter_context(tarfile.open(path, "r:", encoding="utf-8"))
                audio = _content(tars[row.shard], row.audio)
                video = audio if row.video == row.audio else _content(tars[row.shard], row.video)
            except (KeyError, OSError, tarfile.TarError) as error:
                raise CorpusError(
                    f"{row.shard}: cannot read the recording of {row.utterance_id}: {error}"
                ) from error
            yield row, audio, video


def file_sums(folder: Path) -> dict[str, str]:
    """Return the sha256 sum of every file below a folder, by path relative to it, sorted."""
    sums: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                sums[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums


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


def _content(tar: tarfile.TarFile, name: str) -> bytes | None:
    if not name:
        return None
    file = tar.extractfile(name)
    return file.read() if file else None
