"""What is spoken to the service: sentences of synthetic speakers, or real recordings."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mome.errors import ServiceError
from mome.speech.audio import SAMPLING_RATE
from mome.speech.recordings import read_recording
from mome.synthesis import plan_corpus, render_all

__all__ = ["Samples", "Spoken", "every_recording", "real_speech", "synthetic_speech"]

_SILENT_DB = -30.0  # below its loudest 10 ms, a recording's ends are no speech
_WINDOW = SAMPLING_RATE // 100
_SEED = 31
_SUFFIXES = (".flac", ".mp4", ".mpg", ".wav")

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Spoken:
    """One recording, at 16 kHz, and when somebody speaks in it, in seconds.

    ``word_s`` is the end of the first word, and ``text`` what is said, where that is known.
    """

    samples: Samples
    start_s: float
    stop_s: float
    word_s: float | None = None
    text: str | None = None


class _Word(NamedTuple):
    start_s: float
    end_s: float
    text: str


def synthetic_speech(count: int) -> list[Spoken]:
    """Return sentences of the embedded corpus's unseen speakers; their phonemes say when they speak."""
    made = []
    for clip in render_all(plan_corpus(0, 0, count, _SEED), with_mouths=False):
        assert clip.clip.samples is not None
        heard = [phoneme for phoneme in clip.phonemes if phoneme.symbol != "_"]
        text = clip.utterance.transcript
        made.append(Spoken(clip.clip.samples, heard[0].start_s, heard[-1].end_s, text=text))
    return made


def real_speech(folder: Path, count: int, alignments: Path | None = None) -> list[Spoken]:
    """Return the first recordings of a folder.

    Args:
        folder: As `every_recording` takes it.
        count: How many.
        alignments: Likewise.

    Raises:
        ServiceError: If the folder has too few files that the table has.
    """
    found = list(islice(every_recording(folder, alignments), count))
    if len(found) < count:
        raise ServiceError(
            f"{folder} has {len(found)} recordings ({', '.join(_SUFFIXES)}); {count} are needed"
        )
    return found


def every_recording(folder: Path, alignments: Path | None = None) -> Iterator[Spoken]:
    """Yield the recordings of a folder as they are read.

    Args:
        folder: With sound or video files, at any depth.
        alignments: Table of words (clip, start_s, end_s, word) by the names of the files; what it lacks is
            left out. Without it, speech lies between the first and the last 10 ms that are loud.
    """
    words = {} if alignments is None else _aligned(alignments)
    for path in sorted(folder.rglob("*")):
        if path.suffix in _SUFFIXES and (alignments is None or path.stem in words):
            yield _read(path, words.get(path.stem, []))


def _aligned(table: Path) -> dict[str, list[_Word]]:
    words: dict[str, list[_Word]] = {}
    with table.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["word"] not in ("sil", "sp"):
                word = _Word(float(row["start_s"]), float(row["end_s"]), row["word"])
                words.setdefault(row["clip"], []).append(word)
    return words


def _read(path: Path, words: Sequence[_Word]) -> Spoken:
    samples = read_recording(path)
    if words:
        text = " ".join(word.text for word in words)
        return Spoken(samples, words[0].start_s, words[-1].end_s, words[0].end_s, text)
    windows = samples[: len(samples) // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
    level_db = 10 * np.log10(np.mean(windows**2, axis=1) + 1e-12)
    loud = np.flatnonzero(level_db > level_db.max() + _SILENT_DB)
    return Spoken(samples, loud[0] * _WINDOW / SAMPLING_RATE, (loud[-1] + 1) * _WINDOW / SAMPLING_RATE)
