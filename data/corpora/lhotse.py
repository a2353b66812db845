"""Manifests of lhotse: recordings and supervisions as JSON lines, packed or not (lhotse.readthedocs.io).

    libri_recordings_train.jsonl.gz       id, sources (type, source), sampling_rate, duration
    libri_supervisions_train.jsonl.gz     id, recording_id, start, duration, text, speaker

A supervision is a clip: a whole recording, or a part that is cut out. The names of the files say the
split. ``custom.mouth`` of a supervision, which `data.lhotse` writes, is a video of its own. A source is a
file below the folder: of what else lhotse knows, commands and addresses, nothing is run or fetched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from data.corpora.cut import Span
from data.corpora.lists import read_lines
from data.corpora.paths import inside, require_file_name
from data.corpora.raw import Corpus, RawUtterance
from data.corpora.takes import Take, corpus_of, with_validation
from mome.errors import CorpusError
from mome.progress import progress
from mome.records import Split

__all__ = ["find_lhotse", "read_lhotse"]

_SPLITS: dict[str, Split] = {
    "dev": "validation",
    "test": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}
_WHOLE_S = 0.05  # a supervision that leaves out less is the whole recording


class _Lines(BaseModel):
    model_config = ConfigDict(frozen=True)  # what is not read here is not judged


class _Source(_Lines):
    type: str
    source: Any


class _Recording(_Lines):
    id: str
    sources: list[_Source] = Field(min_length=1)
    duration: FiniteFloat


class _Supervision(_Lines):
    id: str
    recording_id: str
    start: FiniteFloat = Field(ge=0)
    duration: FiniteFloat = Field(gt=0)
    text: str | None = None
    speaker: str | None = None
    custom: dict[str, Any] | None = None


def find_lhotse(folder: Path) -> list[Path]:
    """Return the supervisions of a folder, sorted."""
    found = (path for ending in ("jsonl", "jsonl.gz") for path in folder.glob(f"*supervisions*.{ending}"))
    return sorted(found)


def read_lhotse(folder: Path, supervisions: list[Path]) -> Corpus:
    """Open a folder of manifests.

    Raises:
        CorpusError: If supervisions come without their recordings, or a line of either is none.
    """
    takes = [take for path in supervisions for take in _takes(folder, path)]
    return corpus_of("lhotse", folder, with_validation(folder, takes))


def _takes(folder: Path, path: Path) -> Iterator[Take]:
    beside = path.with_name(path.name.replace("supervisions", "recordings"))
    if not beside.is_file():
        raise CorpusError(f"{path}: {beside.name} is not beside it; expected the recordings of these clips")
    recordings = {recording.id: recording for _, recording in _read(beside, _Recording)}
    words = re.split(r"[^a-z0-9]+", path.name.lower())
    split: Split = next((_SPLITS[word] for word in words if word in _SPLITS), "train")
    for number, supervision in progress(list(_read(path, _Supervision)), f"reading {path.name}"):
        where = f"{path}, line {number}"
        utterance_id = supervision.id.replace("/", "-")
        require_file_name(utterance_id, where)
        speaker = supervision.speaker or supervision.recording_id
        utterance = RawUtterance(utterance_id, split, speaker, supervision.text or "")
        try:
            yield _take(folder, utterance, supervision, recordings.get(supervision.recording_id), where)
        except CorpusError as error:
            yield Take(utterance, path, problem=str(error))


def _take(
    folder: Path, utterance: RawUtterance, supervision: _Supervision, recording: _Recording | None, where: str
) -> Take:
    if recording is None:
        raise CorpusError(f"{where}: recording {supervision.recording_id!r} is not among the recordings")
    sources = recording.sources
    if len(sources) != 1 or sources[0].type != "file":
        kinds = ", ".join(source.type for source in sources)
        raise CorpusError(f"{where}: recording {recording.id} has sources {kinds}; expected one of type file")
    audio = _place(folder, str(sources[0].source), where)
    mouth = (supervision.custom or {}).get("mouth")
    video = _place(folder, str(mouth), where) if mouth else None
    is_whole = supervision.start < _WHOLE_S and supervision.duration > recording.duration - _WHOLE_S
    span = None if is_whole else Span(supervision.start, supervision.start + supervision.duration)
    return Take(utterance, audio, video, span)


def _place(folder: Path, path: str, where: str) -> Path:
    """Return where a file lies; lhotse writes whole paths as often as not, below the folder or not."""
    for root in (str(folder), str(folder.resolve())):
        path = path.removeprefix(f"{root}/")
    return inside(folder, path, where)


def _read(path: Path, kind: Any) -> Iterator[tuple[int, Any]]:
    for number, line in read_lines(path):
        try:
            yield number, kind.model_validate(json.loads(line))
        except (json.JSONDecodeError, ValidationError) as error:
            problem = str(error).replace("\n", " ")
            raise CorpusError(f"{path}, line {number}: no line of lhotse: {problem}") from None
