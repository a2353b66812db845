"""How long validation takes, and how much memory, by the number of recordings.

    python -m data.benchmark [--rows 10000 1000000]

The manifest is planted: recordings that differ; one in 500 cannot be used, one in 20 is noisy. Each
validation is `python -m data.validate` in a process of its own, whose peak is asked of the kernel.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from data.peak import peak_mib
from mome.cli import main
from mome.errors import CorpusError
from mome.records import ValidationReport
from mome.reporting.markdown import columns
from mome.speech.audio import SAMPLING_RATE
from mome.speech.manifest_table import MANIFEST_SCHEMA, write_table

__all__ = ["Validated", "measure_validation", "plant_manifest"]

_UNUSABLE_EVERY, _HELD_OUT_EVERY, _SPEAKERS, _PER_SHARD = 500, 100, 5000, 500
_FPS = 25
_LOOK_S = 0.05  # at the memory
_WORDS = (
    "bin",
    "lay",
    "place",
    "set",
    "blue",
    "green",
    "red",
    "white",
    "at",
    "by",
    "in",
    "with",
    "please",
    "soon",
)


class Validated(NamedTuple):
    """What one validation took."""

    rows: int
    set_aside: int
    seconds: float
    processor_s: float
    peak_gib: float


def plant_manifest(dataset: Path, rows: int, seed: int = 0) -> None:
    """Write a manifest of ``rows`` audio-visual recordings and its ``corpus.json``; there are no shards."""
    rng = np.random.default_rng(seed)
    number = np.arange(rows)
    decodable = number % _UNUSABLE_EVERY != _UNUSABLE_EVERY - 1
    held_out = np.where(number % (2 * _HELD_OUT_EVERY) == 0, "test", "validation")
    duration_s = rng.uniform(1, 10, rows).round(2)
    said = np.array(_WORDS)[rng.integers(len(_WORDS), size=(rows, 6))]
    measured: dict[str, object] = {
        "utterance_id": [f"clip-{each:08d}" for each in number],
        "split": np.where(number % _HELD_OUT_EVERY == 0, held_out, "train"),
        "speaker": [f"s{each % _SPEAKERS}" for each in number],
        "transcript": [" ".join(words) for words in said],
        "shard": [f"train-{each // _PER_SHARD:05d}.tar" for each in number],
        "decodable": decodable,
        "problem": np.where(decodable, "", "cannot be decoded"),
        "has_video": decodable,
        "duration_s": duration_s,
        "num_samples": (duration_s * SAMPLING_RATE).astype(np.int64),
        "num_frames": (duration_s * _FPS).astype(np.int64),
        "native_sampling_rate": np.full(rows, SAMPLING_RATE),
        "native_fps": np.full(rows, float(_FPS)),
        "audio_video_gap_s": rng.uniform(0, 0.03, rows),
        "truncated": np.zeros(rows, np.bool_),
        "finite": np.ones(rows, np.bool_),
        "peak": rng.uniform(0.1, 0.9, rows),
        "rms_db": rng.normal(-20, 3, rows),
        "clipped_share": np.zeros(rows),
        "speech_share": np.full(rows, 0.7),
        "snr_db": np.where(rng.random(rows) < 0.05, 5.0, 30.0) + rng.uniform(0, 4, rows),
        "mouth_found_share": np.ones(rows),
        "mouth_confidence": np.ones(rows),
        "faces": np.ones(rows, np.int64),
        "mouth_problem": np.full(rows, ""),
        "sync_offset_frames": rng.integers(-1, 2, rows),
        "sync_confidence": rng.uniform(0.8, 1, rows),
    }
    write_table(dataset, pa.table(measured, schema=MANIFEST_SCHEMA))
    about = {"name": "planted", "revision": "0" * 40, "speaker_disjoint": False}
    (dataset / "corpus.json").write_text(json.dumps(about))


def measure_validation(dataset: Path, output: Path, params: Path) -> Validated:
    """Validate a dataset in a process of its own, and return what that took.

    Raises:
        CorpusError: If validation said no: what is measured then is not what a run does.
    """
    command = [sys.executable, "-m", "data.validate", "--params", str(params)]
    started = time.monotonic()
    process = subprocess.Popen([*command, "--dataset", str(dataset), "--output", str(output)])
    most_mib, ended, status = 0.0, 0, 0
    while not ended:
        most_mib = max(most_mib, peak_mib(process.pid))
        time.sleep(_LOOK_S)
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise CorpusError(f"validation of {dataset} ended with exit code {process.returncode}, expected 0")
    report = ValidationReport.read(output / "validation.json")
    return Validated(
        sum(report.utterances.values()),
        sum(report.set_aside.values()),
        seconds,
        used.ru_utime + used.ru_stime,
        most_mib / 2**10,
    )


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m data.benchmark",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    given = parser.parse_args()
    head = ("recordings", "set aside", "seconds", "processor seconds", "peak, GiB")
    found = []
    for rows in given.rows:
        with tempfile.TemporaryDirectory(prefix="mome-validation-") as folder:
            plant_manifest(Path(folder), rows)
            took = measure_validation(Path(folder), Path(folder) / "report", given.params)
        figures = (f"{took.seconds:.0f}", f"{took.processor_s:.0f}", f"{took.peak_gib:.2f}")
        found.append((f"{took.rows:,}", f"{took.set_aside:,}", *figures))
    print(columns(head, found))


if __name__ == "__main__":
    raise SystemExit(main(_command))
