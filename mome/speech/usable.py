"""A dataset without the recordings that validation set aside: the same shards, a shorter manifest."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from mome.errors import CorpusError
from mome.records import SetAside
from mome.speech.faces.models import FaceModels
from mome.speech.manifest_table import read_table, write_table
from mome.storage import write_text

__all__ = ["read_set_aside", "usable", "write_set_aside"]

_LIST = "set_aside.jsonl"


def write_set_aside(rows: Iterable[SetAside], folder: Path) -> None:
    """Write ``set_aside.jsonl``, one line of JSON per recording, whole or not at all."""
    write_text(folder / _LIST, "".join(f"{row.model_dump_json()}\n" for row in rows))


def read_set_aside(folder: Path) -> list[SetAside]:
    """Read what `write_set_aside` wrote.

    Raises:
        CorpusError: If it is not there, or a line is no such record.
    """
    path = folder / _LIST
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        return [SetAside.model_validate_json(line) for line in lines if line]
    except (OSError, ValueError, ValidationError) as error:
        raise CorpusError(f"{path}: not the list of recordings set aside by validation: {error}") from error


def usable(dataset: Path, validation: Path) -> Path:
    """Return a folder that is read as the dataset is, but lacks what was set aside; nothing is copied.

    It is the dataset itself where nothing was, else a folder for as long as this process lives.

    Args:
        dataset: Folder that `data.prepare` wrote.
        validation: Folder that `data.validate` wrote for it.

    Raises:
        CorpusError: If one of them cannot be read, or they do not belong together.
    """
    names = {row.utterance_id for row in read_set_aside(validation)}
    if not names:
        return dataset
    table = read_table(dataset)
    named = pc.is_in(table["utterance_id"], pa.array(sorted(names)))
    if unknown := names - set(table.filter(named)["utterance_id"].to_pylist()):
        raise CorpusError(
            f"{validation}: {min(unknown)} is not in {dataset}; expected the validation of this dataset"
        )
    folder = Path(tempfile.mkdtemp(prefix="mome-usable-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "shards").symlink_to((dataset / "shards").absolute())
    shutil.copyfile(dataset / "corpus.json", folder / "corpus.json")
    FaceModels.of(dataset).copy_into(folder)
    write_table(folder, table.filter(pc.invert(named)))
    return folder
