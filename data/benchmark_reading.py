"""How much memory reading a split takes, by the number of clips, and how many clips a second come.

    python -m data.benchmark_reading [--clips 1000 100000] [--dataset FOLDER or s3://bucket/prefix]

The clips are planted: a tenth of a second of sound each. A process of its own, whose peak is asked of the
kernel, reads every clip of the training split in order, and another one plans training's batches and reads
the first hundred of them. With ``--dataset`` both read that one instead.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.benchmark import plant_manifest
from data.peak import peak_mib
from mome.cli import main
from mome.errors import CorpusError
from mome.progress import progress
from mome.reporting.markdown import columns
from mome.speech.audio import SAMPLING_RATE
from mome.speech.dataset import open_dataset
from mome.speech.manifest_rows import Rows
from mome.speech.manifest_table import read_table
from mome.speech.media import Clip
from mome.speech.shards import SplitReader, write_manifest, write_shard
from mome.speech.sounds import Sounds
from mome.training.batches import batches

__all__ = ["WAYS", "Taken", "measure_reading", "plant_clips"]

_CLIP_S = 0.1
_PER_BATCH, _BATCHES = 24, 100
WAYS = ("split", "batches")


class Taken(NamedTuple):
    """What one reading took."""

    clips: int
    seconds: float
    peak_mib: float


def plant_clips(dataset: Path, count: int) -> None:
    """Write a dataset of ``count`` recordings as `plant_manifest` has them, with shards of their sound."""
    plant_manifest(dataset, count)
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, int(_CLIP_S * SAMPLING_RATE)).astype(np.float32)
    short = {"has_video": False, "num_frames": 0, "num_samples": len(sound), "duration_s": _CLIP_S}
    rows = [row.model_copy(update=short) for row in Rows(read_table(dataset))]
    write_manifest(dataset, rows)
    for shard, members in itertools.groupby(progress(rows, "plant clips"), lambda row: row.shard):
        usable = ((row, Clip(sound, None)) for row in members if row.decodable)
        write_shard(dataset / "shards" / shard, usable)


def measure_reading(address: str, way: str) -> Taken:
    """Read a dataset in a process of its own, and return what that took.

    Args:
        address: Folder, or ``s3://bucket/prefix``.
        way: One of `WAYS`.

    Raises:
        CorpusError: If it could not be read.
    """
    command = [sys.executable, "-m", "data.benchmark_reading", "--read", way, "--dataset", address]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if found.returncode:
        raise CorpusError(f"reading {address} ended with exit code {found.returncode}, expected 0")
    clips, seconds, peak = found.stdout.split()
    return Taken(int(clips), float(seconds), float(peak))


def _read(address: str, way: str) -> None:
    """Read, and print how many clips that were, in how many seconds, and the peak of memory in MiB."""
    started = time.monotonic()
    with closing(SplitReader(open_dataset(address), "train")) as reader:
        sounds = Sounds(reader, held_h=0)
        order = range(len(reader)) if way == "split" else _drawn(sounds)
        read = sum(len(sounds[index]) > 0 for index in order)
    print(read, time.monotonic() - started, peak_mib())


def _drawn(sounds: Sounds) -> list[int]:
    drawn = batches(sounds.num_samples, _PER_BATCH, 0, seed=0)
    return [index for batch in itertools.islice(drawn, _BATCHES) for index in batch]


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m data.benchmark_reading",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--clips", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--dataset", help="folder or s3://bucket/prefix to read; default: planted")
    parser.add_argument("--read", choices=WAYS, help="in this process, --dataset")
    given = parser.parse_args()
    if given.read is not None:
        _read(given.dataset, given.read)
    elif given.dataset is not None:
        _show([given.dataset])
    else:
        with tempfile.TemporaryDirectory(prefix="mome-reading-") as folder:
            for count in given.clips:
                plant_clips(Path(folder) / str(count), count)
            _show([str(Path(folder) / str(count)) for count in given.clips])


def _show(addresses: list[str]) -> None:
    found = []
    for address, way in itertools.product(addresses, WAYS):
        took = measure_reading(address, way)
        figures = (f"{took.clips / took.seconds:,.0f}", f"{took.peak_mib:,.0f}")
        found.append((way, f"{took.clips:,}", *figures))
    print(columns(("read", "clips", "clips a second", "peak, MiB"), found))


if __name__ == "__main__":
    raise SystemExit(main(_command))
