"""Connected digits from the Free Spoken Digit Dataset: ``{digit}_{speaker}_{index}.wav``, one digit each.

A sentence is three to six digits of one speaker with short gaps between them. The recordings are
split first, by the corpus's own convention (index 0–4 is test), and the sentences are built inside a
split: no recording of the test sentences is ever heard in training. Speakers are the same everywhere.
"""

from __future__ import annotations

import io
import random
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import soundfile

from data.corpora.raw import Corpus, MediaFile, RawMedia, RawUtterance, corpus_name, file_stamp, fingerprint
from data.corpora.splits import split_items
from mome.config import PrepareParams
from mome.errors import CorpusError, MediaError
from mome.records import Split
from mome.speech.audio import Audio, read_audio

__all__ = ["find_fsdd", "read_fsdd"]

_NAME = re.compile(r"(\d)_([a-z0-9-]+)_(\d+)")
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEST_BELOW, _VALIDATION_BELOW = 5, 8  # index of the recording
_DIGITS_PER_SENTENCE = (3, 6)
_GAP_S = (0.05, 0.25)
_EDGE_S = 0.1  # before the first and after the last digit
_FLOOR = 1e-4  # full scale; a gap is a quiet room, for digital silence exists in no recording


class _Sentence(NamedTuple):
    utterance: RawUtterance
    recordings: tuple[Path, ...]
    gaps_s: tuple[float, ...]  # one more than recordings
    seed: int


def find_fsdd(folder: Path) -> list[Path]:
    """Return the files below ``folder`` that are named as in FSDD, sorted."""
    return sorted(path for path in folder.rglob("*.wav") if _NAME.fullmatch(path.stem.lower()))


def read_fsdd(folder: Path, files: list[Path], params: PrepareParams) -> Corpus:
    """Plan the sentences; the recordings are joined when they are asked for.

    Raises:
        CorpusError: If a split is left without any recording.
    """
    pools = _pools(files)
    counts = (params.train_utterances, params.validation_utterances, params.test_utterances)
    sentences: list[_Sentence] = []
    for split, count in zip(get_args(Split), counts, strict=True):
        if not pools[split]:
            raise CorpusError(
                f"{folder}: no recording is left for split {split}; found only {len(files)} recordings"
            )
        sentences += _plan(split, count, pools[split], params.seed)

    def media() -> Iterator[RawMedia]:
        # Sentences reuse recordings; 2,000 decoded digits are some 30 MB.
        read = lru_cache(maxsize=4096)(_read_digit)
        for sentence in sentences:
            try:
                yield RawMedia(
                    MediaFile(".wav", _join(sentence, [read(path) for path in sentence.recordings]))
                )
            except MediaError as error:
                yield RawMedia(None, None, str(error))

    return Corpus(
        name=corpus_name(folder.resolve().name),
        speaker_disjoint=False,
        key=fingerprint(["fsdd", params.model_dump_json(), str(folder.resolve()), *map(file_stamp, files)]),
        utterances=[sentence.utterance for sentence in sentences],
        media=media,
    )


def _pools(files: list[Path]) -> dict[Split, dict[str, dict[int, list[Path]]]]:
    """Return ``pools[split][speaker][digit]``: the recordings that sentences may use."""
    by_speaker: dict[str, dict[Path, tuple[int, int]]] = {}
    for path in files:
        match = _NAME.fullmatch(path.stem.lower())
        assert match is not None, "find_fsdd lets no other name through"
        by_speaker.setdefault(match[2], {})[path] = (int(match[1]), int(match[3]))

    pools: dict[Split, dict[str, dict[int, list[Path]]]] = {split: {} for split in get_args(Split)}
    for speaker, recordings in sorted(by_speaker.items()):
        splits = {path: _split_by_index(index) for path, (_, index) in recordings.items()}
        if set(splits.values()) != set(get_args(Split)):
            # Not numbered by the convention: hold out a share of the recordings of every digit instead.
            splits = {}
            for digit in sorted({digit for digit, _ in recordings.values()}):
                names = {path.stem: path for path in recordings if recordings[path][0] == digit}
                splits |= {names[name]: split for name, split in split_items(names).items()}
        for path, split in sorted(splits.items()):
            pools[split].setdefault(speaker, {}).setdefault(recordings[path][0], []).append(path)
    return pools


def _split_by_index(index: int) -> Split:
    return "test" if index < _TEST_BELOW else "validation" if index < _VALIDATION_BELOW else "train"


def _plan(split: Split, count: int, pool: dict[str, dict[int, list[Path]]], seed: int) -> Iterator[_Sentence]:
    """Plan sentences of one split; speakers take turns, digits are drawn evenly."""
    rng = random.Random(f"{seed}-{split}")
    speakers = sorted(pool)
    for number in range(count):
        speaker = speakers[number % len(speakers)]
        digits = [rng.choice(sorted(pool[speaker])) for _ in range(rng.randint(*_DIGITS_PER_SENTENCE))]
        yield _Sentence(
            RawUtterance(
                f"{speaker}-{split}-{number:05d}", split, speaker, " ".join(_WORDS[digit] for digit in digits)
            ),
            tuple(rng.choice(pool[speaker][digit]) for digit in digits),
            (_EDGE_S, *(rng.uniform(*_GAP_S) for _ in digits[1:]), _EDGE_S),
            rng.randrange(2**31),
        )


def _read_digit(path: Path) -> Audio:
    """Read one recording; what is wrong with it would be hidden inside a sentence, so it is said here."""
    try:
        audio = read_audio(path)
    except MediaError as error:
        raise MediaError(f"{path.name}: {error}") from error
    if audio.truncated:
        raise MediaError(f"{path.name}: the file promises more than it holds")
    if not np.isfinite(audio.samples).all():
        raise MediaError(f"{path.name}: holds samples that are no numbers")
    if not audio.samples.any():
        raise MediaError(f"{path.name}: holds only silence")
    return audio


def _join(sentence: _Sentence, digits: list[Audio]) -> bytes:
    """Return the sentence as a 16-bit WAV file at the rate of its recordings."""
    sampling_rate = digits[0].sampling_rate
    for path, digit in zip(sentence.recordings, digits, strict=True):
        if digit.sampling_rate != sampling_rate:
            first = sentence.recordings[0].name
            raise MediaError(
                f"{path.name}: {digit.sampling_rate} Hz, but {first} by the same speaker: {sampling_rate} Hz"
            )
    rng = np.random.default_rng(sentence.seed)
    gaps = [
        _FLOOR * rng.standard_normal(round(gap_s * sampling_rate), np.float32) for gap_s in sentence.gaps_s
    ]
    pieces = [gaps[0]]
    for digit, gap in zip(digits, gaps[1:], strict=True):
        pieces += [digit.samples, gap]
    file = io.BytesIO()
    soundfile.write(file, np.concatenate(pieces).clip(-1, 1), sampling_rate, subtype="PCM_16", format="WAV")
    return file.getvalue()
