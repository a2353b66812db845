"""Write a prepared dataset as manifests of lhotse, for programs that read those.

mome_recordings_train.jsonl.gz, mome_supervisions_train.jsonl.gz     and so for each split
audio/<id>.flac                                                      16 kHz, as in the shards
mouth/<id>.mp4                                                       custom.mouth of the supervision

Paths are relative to the folder: ``RecordingSet.from_file(...).with_path_prefix(folder)``. The same dataset
gives the same bytes. `data.corpora.lhotse` reads it back.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

from mome.cli import main
from mome.errors import CorpusError
from mome.progress import progress
from mome.records import Split, Utterance
from mome.speech.audio import SAMPLING_RATE
from mome.speech.dataset import open_dataset
from mome.speech.shards import SplitReader
from mome.storage import new_folder

__all__ = ["write_manifests"]

_FOLDERS = {".flac": "audio", ".mp4": "mouth"}


def write_manifests(dataset: Path, output: Path) -> None:
    """Write the usable utterances of a dataset, whole or not at all.

    Args:
        dataset: Folder that `data.prepare` wrote.
        output: Folder to write, replaced.

    Raises:
        CorpusError: If the dataset is missing or damaged, or an utterance has no sound: lhotse describes
            recordings of sound.
    """
    with new_folder(output) as folder:
        for split in get_args(Split):
            _write_split(dataset, split, folder)


def _write_split(dataset: Path, split: Split, folder: Path) -> None:
    recordings: list[dict[str, Any]] = []
    supervisions: list[dict[str, Any]] = []
    with closing(SplitReader(dataset, split)) as reader:
        for index, utterance in enumerate(progress(reader.utterances, f"writing {split}")):
            places = {}
            for name, content in reader.stored(index).items():
                ending = Path(name).suffix
                places[ending] = f"{_FOLDERS[ending]}/{name}"
                (folder / places[ending]).parent.mkdir(exist_ok=True)
                (folder / places[ending]).write_bytes(content)
            if ".flac" not in places:
                raise CorpusError(f"{dataset}: {utterance.utterance_id} has no sound; lhotse describes sound")
            recordings.append(_recording(utterance, places[".flac"]))
            supervisions.append(_supervision(utterance, places.get(".mp4")))
    _write_lines(folder / f"mome_recordings_{split}.jsonl.gz", recordings)
    _write_lines(folder / f"mome_supervisions_{split}.jsonl.gz", supervisions)


def _recording(utterance: Utterance, audio: str) -> dict[str, Any]:
    return {
        "id": utterance.utterance_id,
        "sources": [{"type": "file", "channels": [0], "source": audio}],
        "sampling_rate": SAMPLING_RATE,
        "num_samples": utterance.num_samples,
        "duration": utterance.num_samples / SAMPLING_RATE,
        "channel_ids": [0],
    }


def _supervision(utterance: Utterance, mouth: str | None) -> dict[str, Any]:
    about = {
        "id": utterance.utterance_id,
        "recording_id": utterance.utterance_id,
        "start": 0.0,
        "duration": utterance.num_samples / SAMPLING_RATE,
        "channel": 0,
        "text": utterance.transcript,
        "speaker": utterance.speaker,
    }
    return about | ({"custom": {"mouth": mouth}} if mouth else {})


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(gzip.compress(lines.encode(), mtime=0))  # no time in it, so the same bytes every time


def _command() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--dataset", required=True, help="folder that data.prepare wrote, or s3://bucket/prefix"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write, replaced")
    options = parser.parse_args()
    write_manifests(open_dataset(options.dataset), options.output)


if __name__ == "__main__":
    raise SystemExit(main(_command))
