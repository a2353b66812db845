"""Prepare a corpus revision: decode, resample to 16 kHz mono, cut the mouth at 25 fps, measure, write shards.

corpus.json         name, revision, modality, speaker_disjoint, cropping
manifest.parquet    one `Utterance` per recording, unusable ones included
shards/*.tar        the usable ones, decoded
face_models/        that found the mouths, where `prepare.face_detector` or `face_landmarks` names them

Whatever ends it, the next preparation of the same revision with the same parameters goes on after the last
shard that was done, and ends with the bytes of one that nothing ended.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

import mome
from data.archive import Located, locate, read_recordings, read_rows
from data.corpora.manifest import CorpusCard
from data.measure import measure
from data.version import CorpusRevision, pull
from mome.cli import main
from mome.config import PrepareParams, load_params
from mome.errors import ConfigError, CorpusError
from mome.machine.memory import memory_watched
from mome.machine.processor import available_cores
from mome.machine.stopping import stoppable
from mome.machine.threads import one_thread_each
from mome.progress import progress
from mome.records import Modality, Split, Utterance
from mome.speech.faces.loading import load_faces
from mome.speech.faces.models import CASCADE, FaceModels
from mome.speech.shards import encode_clip, shard_sum, write_manifest, write_members
from mome.storage import resumed_folder, write_text

__all__ = ["finish", "run", "write_measured"]

_WORTH_A_PROCESS = 32  # fewer utterances are done before a second process has started
_AT_A_TIME = 8  # recordings of a shard that a process is given, so that all have as much to do

Shard = tuple[str, list[Located]]  # its file name and its recordings, or a few of them
Read = tuple[Utterance, Mapping[str, bytes]]  # a recording, and what a shard holds of it: nothing if unusable


@stoppable()
@memory_watched("prepare")
def run(params: PrepareParams, repo: str, revision: str, output: Path, processes: int | None = None) -> None:
    """Turn a revision of a corpus into a dataset folder, whole or not at all.

    Ended at any moment and started again with the same inputs and output, it goes on after the shards that
    were done: they lie beside the output until it is whole.
    A recording that cannot be used is no error here: it keeps its row, and validation names it.

    Args:
        params: ``utterances_per_shard`` and the models of faces count here; the rest went into the revision.
        repo: Path or address of the DVC repository.
        revision: Git commit id in it.
        output: Dataset folder, replaced.
        processes: At work at a time; None takes one for each processor. They do not change the result.

    Raises:
        ConfigError: If no process is to be at work, or a model of faces cannot be loaded.
        RevisionError: If the revision is unknown or its content damaged.
        CorpusError: If the content is no packed corpus.
        Stopped: If a signal asks to stop.
    """
    if processes is not None and processes < 1:
        raise ConfigError(f"processes is {processes}, expected at least 1")
    face_models = FaceModels.named(params)
    load_faces(face_models)  # one that cannot be loaded is said before anything is fetched
    key = _key(revision, params.utterances_per_shard, face_models.cropping())
    with resumed_folder(output, key) as folder:
        raw = folder / ".raw"  # fetched anew each time: every sum is checked then
        pull(repo, revision, raw)
        card = CorpusCard.read(raw / "corpus.json")
        located = locate(raw, read_rows(raw))
        (folder / "shards").mkdir(exist_ok=True)
        shutil.rmtree(folder / "face_models", ignore_errors=True)
        face_models = face_models.copy_into(folder)
        shards = list(_shards(located, params.utterances_per_shard))
        read = partial(_read, raw, face_models)
        finish(folder, card, revision, _write_each(folder, shards, read, processes or available_cores()))


def finish(folder: Path, card: CorpusCard, revision: str, utterances: Sequence[Utterance]) -> None:
    """Write the manifest and ``corpus.json`` beside the shards of a dataset."""
    write_manifest(folder, utterances)
    about = {
        "name": card.name,
        "revision": revision,
        "modality": _modality(utterances),
        "speaker_disjoint": card.speaker_disjoint,
        "cropping": FaceModels.of(folder).cropping(),
    }
    write_text(folder / "corpus.json", json.dumps(about, indent=2) + "\n")


def _shards(located: list[Located], size: int) -> Iterator[Shard]:
    """Yield the name and the recordings of every shard: split by split, in the order of the corpus."""
    for split in get_args(Split):
        members = [each for each in located if each.row.split == split]
        for start in range(0, len(members), size):
            yield f"{split}-{start // size:05d}.tar", members[start : start + size]


def _write_each(
    folder: Path, shards: Sequence[Shard], read: Callable[[Shard], list[Read]], processes: int
) -> list[Utterance]:
    """Write the shards that an earlier preparation did not, and return the utterances of all in order.

    The rows of a shard are written after it, so that one whose rows are there is whole.
    """
    known = {name: _known(folder, name, located) for name, located in shards}
    left = [(name, located) for name, located in shards if not known[name]]
    with closing(_read_each(left, read, processes)) as recordings:
        for name, located in left:
            utterances = _write(folder / "shards" / name, islice(recordings, len(located)))
            rows = "".join(f"{utterance.model_dump_json()}\n" for utterance in utterances)
            write_text(_rows_of(folder, name), rows)
            known[name] = utterances
    return [utterance for name, _ in shards for utterance in known[name]]


def _read_each(
    shards: Sequence[Shard], read: Callable[[Shard], list[Read]], processes: int
) -> Generator[Read]:
    """Read the recordings of shards, several at a time if that is worth it, and yield them in order."""
    count = sum(len(located) for _, located in shards)
    pieces = [
        (name, located[start : start + _AT_A_TIME])
        for name, located in shards
        for start in range(0, len(located), _AT_A_TIME)
    ]
    if processes == 1 or count < _WORTH_A_PROCESS:
        yield from progress(chain.from_iterable(map(read, pieces)), "preparing", total=count)
        return
    # Spawned, not forked: DVC has just used threads, and a lock that one of them held would stay locked.
    with one_thread_each():
        pool = multiprocessing.get_context("spawn").Pool(min(processes, len(pieces)))
    with pool:
        yield from progress(chain.from_iterable(pool.imap(read, pieces)), "preparing", total=count)


def _key(*inputs: object) -> str:
    """Return what names the inputs of a preparation, and the code that makes a dataset of them."""
    return hashlib.sha256(repr((mome.__version__, *inputs)).encode()).hexdigest()[:16]


def _known(folder: Path, name: str, located: Sequence[Located]) -> list[Utterance]:
    """Return the rows of a shard that is done, else none: also where a machine went down over the two."""
    try:
        shard_sum(folder / "shards" / name)
        lines = _rows_of(folder, name).read_bytes().splitlines()
        rows = [Utterance.model_validate_json(line) for line in lines]
    except (OSError, CorpusError, ValidationError):
        return []
    return rows if [row.utterance_id for row in rows] == [each.row.utterance_id for each in located] else []


def _rows_of(folder: Path, name: str) -> Path:
    return folder / ".done" / f"{name}.jsonl"


def write_measured(
    raw: Path, output: Path, shard: Shard, face_models: FaceModels = CASCADE
) -> list[Utterance]:
    """Decode and measure the recordings of one shard, write it, and return its rows of the manifest.

    Args:
        raw: Packed corpus.
        output: Folder for the shard.
        shard: Its file name and its recordings, as `locate` finds them.
        face_models: That find the mouths.
    """
    return _write(output / shard[0], _read(raw, face_models, shard))


def _read(raw: Path, face_models: FaceModels, shard: Shard) -> list[Read]:
    """Decode, measure and encode recordings of a shard."""
    name, located = shard
    found: list[Read] = []
    for row, audio, video in read_recordings(raw, located):
        utterance, clip = measure(row, audio, video, face_models)
        if clip is None:
            found.append((utterance, {}))
        else:
            utterance = utterance.model_copy(update={"shard": name})
            found.append((utterance, encode_clip(utterance, clip)))
    return found


def _write(path: Path, recordings: Iterable[Read]) -> list[Utterance]:
    utterances: list[Utterance] = []
    members: dict[str, bytes] = {}
    for utterance, encoded in recordings:
        utterances.append(utterance)
        members |= encoded
    write_members(path, members)
    return utterances


def _modality(utterances: Iterable[Utterance]) -> Modality:
    """Return what the corpus has; one recording without video among others is for validation to name."""
    return "av" if any(utterance.has_video for utterance in utterances) else "audio"


def _command() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--revision", type=Path, required=True, help="JSON file that data.version wrote")
    parser.add_argument("--output", type=Path, required=True, help="dataset folder, replaced")
    parser.add_argument("--processes", type=int, help="at work at a time; default: one for each processor")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    options = parser.parse_args()
    corpus = CorpusRevision.read(options.revision)
    run(load_params(options.params).prepare, corpus.repo, corpus.revision, options.output, options.processes)


if __name__ == "__main__":
    raise SystemExit(main(_command))
