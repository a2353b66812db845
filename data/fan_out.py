"""Prepare a large corpus piece by piece: one piece for each packed shard, each fetched and decoded alone.

`data.prepare` decodes a corpus in one place. Here many places share the work, none fetches more than
its own tar file, and what they make is collected into the same dataset: equal rows in equal order and
equal clips. Only the shard that a clip lies in differs (docs/adr/0009-preparation-fans-out.md).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from data.archive import ArchiveRow, locate, read_rows
from data.corpora.manifest import CorpusCard
from data.prepare import finish, write_measured
from data.version import pull
from mome.addresses import public
from mome.errors import CorpusError
from mome.machine.memory import memory_watched
from mome.machine.stopping import stoppable
from mome.records import Split, Utterance
from mome.speech.faces.loading import load_faces
from mome.speech.faces.models import CASCADE, FaceModels
from mome.speech.shards import read_manifest, write_manifest
from mome.storage import new_folder

__all__ = ["collect", "plan", "prepare_shard"]

_DESCRIPTION = ("corpus.json", "manifest.csv")


def plan(repo: str, revision: str, scratch: Path) -> list[dict[str, str]]:
    """Return the pieces of the work, one for each packed shard, sorted.

    A piece is what `prepare_shard` takes: ``repo``, ``revision`` and ``shard``.

    Args:
        repo: Path or address of the DVC repository.
        revision: Git commit id in it.
        scratch: Folder to fetch the description into; nothing stays in it.

    Raises:
        RevisionError: If the revision is unknown or its content damaged.
        CorpusError: If the corpus is empty.
    """
    with _fetched(repo, revision, scratch) as raw:
        shards = sorted({row.shard for row in read_rows(raw)})
    if not shards:
        raise CorpusError(
            f"{public(repo)} at {revision[:12]}: the corpus is empty; expected at least one recording"
        )
    return [{"repo": repo, "revision": revision, "shard": shard} for shard in shards]


@stoppable()
@memory_watched("prepare_shard")
def prepare_shard(
    repo: str, revision: str, shard: str, output: Path, face_models: FaceModels = CASCADE
) -> None:
    """Decode and measure the recordings of one packed shard.

    Args:
        repo: Path or address of the DVC repository.
        revision: Git commit id in it.
        shard: Name of one of those that `plan` returned.
        output: Folder for ``manifest.parquet``, ``shards/`` and the models of faces, replaced.
        face_models: That find the mouths.

    Raises:
        ConfigError: If a model of faces cannot be loaded.
        RevisionError: If the revision is unknown or its content damaged.
        CorpusError: If the corpus has no such shard.
        Stopped: If a signal asks to stop.
    """
    load_faces(face_models)
    with _fetched(repo, revision, output.parent, shard) as raw, new_folder(output) as folder:
        rows = [row for row in read_rows(raw) if row.shard == shard]
        (folder / "shards").mkdir()
        models = face_models.copy_into(folder)
        write_manifest(folder, write_measured(raw, folder / "shards", (shard, locate(raw, rows)), models))


@stoppable()
@memory_watched("collect_shards")
def collect(repo: str, revision: str, parts: Sequence[Path], output: Path) -> None:
    """Put the pieces together into a dataset folder, whole or not at all.

    Args:
        repo: Path or address of the DVC repository.
        revision: Git commit id in it.
        parts: Folders that `prepare_shard` wrote, in any order.
        output: Dataset folder, replaced.

    Raises:
        RevisionError: If the revision is unknown or its content damaged.
        CorpusError: If a recording of the corpus is in no piece, or in two, or if other models found the
            mouths of one piece than those of another.
        Stopped: If a signal asks to stop.
    """
    with _fetched(repo, revision, output.parent) as raw, new_folder(output) as folder:
        card, rows = CorpusCard.read(raw / "corpus.json"), read_rows(raw)
        (folder / "shards").mkdir()
        _one_cropping(parts).copy_into(folder)
        found: dict[tuple[str, str], list[Utterance]] = {}
        for part in parts:
            for shard in sorted((part / "shards").glob("*.tar")):
                shutil.copyfile(shard, folder / "shards" / shard.name)
            utterances = read_manifest(part)
            found[_piece(utterances, part)] = utterances
        finish(folder, card, revision, _in_order(rows, found))


def _one_cropping(parts: Sequence[Path]) -> FaceModels:
    """Return the models that found the mouths of all pieces."""
    models = [FaceModels.of(part) for part in parts]
    croppings = {tuple(each.cropping().items()) for each in models}
    if len(croppings) > 1:
        raise CorpusError(
            f"the pieces were cut out by {len(croppings)} different models of faces, expected one; "
            "run the step prepare_shard again"
        )
    return models[0] if models else CASCADE


def _piece(utterances: Sequence[Utterance], part: Path) -> tuple[str, str]:
    if not utterances:
        raise CorpusError(f"{part}: the piece holds no recording; expected those of one shard")
    return utterances[0].split, utterances[0].utterance_id


def _in_order(rows: Sequence[ArchiveRow], found: dict[tuple[str, str], list[Utterance]]) -> list[Utterance]:
    """Return the utterances split by split in the order of the corpus, as `data.prepare` has them."""
    by_shard: dict[str, list[ArchiveRow]] = {}
    for row in rows:
        by_shard.setdefault(row.shard, []).append(row)
    utterance_of: dict[int, Utterance] = {}
    for shard, members in by_shard.items():
        utterances = found.pop((members[0].split, members[0].utterance_id), [])
        if [row.utterance_id for row in members] != [each.utterance_id for each in utterances]:
            raise CorpusError(
                f"shard {shard} has {len(members)} recordings, but its piece holds {len(utterances)}; "
                "run the step prepare_shard again"
            )
        # By position: an id may occur twice, which is for validation to name.
        utterance_of |= {id(row): each for row, each in zip(members, utterances, strict=True)}
    if found:
        raise CorpusError(f"{len(found)} pieces belong to no shard of this revision; expected one for each")
    return [utterance_of[id(row)] for split in get_args(Split) for row in rows if row.split == split]


@contextmanager
def _fetched(repo: str, revision: str, beside: Path, *shards: str) -> Iterator[Path]:
    """Yield a folder with the description of a corpus and some of its shards; it is gone afterwards."""
    beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=beside, prefix=".raw.") as temporary:
        raw = Path(temporary) / "corpus"
        pull(repo, revision, raw, [*_DESCRIPTION, *(f"shards/{shard}" for shard in shards)])
        yield raw
