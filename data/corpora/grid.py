"""The GRID audio-visual sentence corpus as it is published: the file name is the sentence.

``s1/bbaf2n.mpg`` is speaker s1 saying "bin blue at f two now". Sound comes from the video file, or
from a ``.wav`` of the same speaker and code where there is one. Where a ``bbaf2n.align`` of the speaker
lies with them, which says when each word is said, its words have to be those of the name.
Source: Cooke, Barker, Cunningham and Shao (2006), "An audio-visual corpus for speech perception".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from data.corpora.lists import read_lines
from data.corpora.raw import (
    VIDEO_SUFFIXES,
    Corpus,
    RawMedia,
    RawUtterance,
    corpus_name,
    file_stamp,
    fingerprint,
    read_media,
)
from data.corpora.splits import split_items
from mome.errors import CorpusError

__all__ = ["decode_name", "find_grid", "read_grid"]

_SOUND_SUFFIXES = frozenset({".flac", ".wav"})
_CODE = re.compile(r"[blps][bgrw][abiw][a-vx-z][z1-9][anps]")
_COMMANDS = {"b": "bin", "l": "lay", "p": "place", "s": "set"}
_COLOURS = {"b": "blue", "g": "green", "r": "red", "w": "white"}
_PREPOSITIONS = {"a": "at", "b": "by", "i": "in", "w": "with"}
_DIGITS = {
    "z": "zero",
    "1": "one",
    "2": "two",
    "3": "three",
    "4": "four",
    "5": "five",
    "6": "six",
    "7": "seven",
    "8": "eight",
    "9": "nine",
}
_ALIGNED = ".align"
_SILENCES = frozenset({"sil", "sp"})
_ADVERBS = {"a": "again", "n": "now", "p": "please", "s": "soon"}
_MIN_DISJOINT_SPEAKERS = 3  # one per split


def decode_name(code: str) -> str:
    """Return the sentence of a six-letter code: ``bbaf2n`` is "bin blue at f two now".

    Raises:
        CorpusError: If it is no such code.
    """
    if not _CODE.fullmatch(code):
        raise CorpusError(f"{code!r} is no GRID code; expected six characters such as bbaf2n")
    command, colour, preposition, letter, digit, adverb = list(code)
    return " ".join(
        (
            _COMMANDS[command],
            _COLOURS[colour],
            _PREPOSITIONS[preposition],
            letter,
            _DIGITS[digit],
            _ADVERBS[adverb],
        )
    )


def find_grid(folder: Path) -> list[Path]:
    """Return the recordings and word times below ``folder`` that are named as in GRID, sorted."""
    suffixes = VIDEO_SUFFIXES | _SOUND_SUFFIXES | {_ALIGNED}
    return sorted(
        path
        for path in folder.rglob("*")
        if _CODE.fullmatch(path.stem.lower()) and path.suffix.lower() in suffixes
    )


def read_grid(folder: Path, files: list[Path]) -> Corpus:
    """Open a folder of GRID recordings.

    With three speakers or more, whole speakers are held out; with fewer, sentences are.

    Raises:
        CorpusError: If a speaker has the same sentence twice in the same form.
    """
    videos: dict[tuple[str, str], Path] = {}
    sounds: dict[tuple[str, str], Path] = {}
    aligned: dict[tuple[str, str], Path] = {}
    for path in files:
        take = (_speaker(path, folder), path.stem.lower())
        suffix = path.suffix.lower()
        known = aligned if suffix == _ALIGNED else videos if suffix in VIDEO_SUFFIXES else sounds
        if take in known:
            raise CorpusError(f"{folder}: speaker {take[0]} has {take[1]} twice: {known[take]} and {path}")
        known[take] = path

    takes = sorted(videos.keys() | sounds.keys())
    speakers = {speaker for speaker, _ in takes}
    disjoint = len(speakers) >= _MIN_DISJOINT_SPEAKERS
    splits = split_items(speakers if disjoint else (f"{speaker}-{code}" for speaker, code in takes))
    utterances = [
        RawUtterance(
            f"{speaker}-{code}",
            splits[speaker if disjoint else f"{speaker}-{code}"],
            speaker,
            decode_name(code),
        )
        for speaker, code in takes
    ]

    def media() -> Iterator[RawMedia]:
        for take in takes:
            sound, video = sounds.get(take), videos.get(take)
            if take in aligned and (problem := _disagrees(aligned[take])):
                yield RawMedia(None, None, problem)
            else:
                yield read_media(sound, video) if sound else read_media(videos[take])

    return Corpus(
        name=corpus_name(folder.resolve().name),
        speaker_disjoint=disjoint,
        key=fingerprint(["grid", str(folder.resolve()), *map(file_stamp, files)]),
        utterances=utterances,
        media=media,
    )


def _disagrees(path: Path) -> str:
    """Return why word times do not belong to the sentence of their file's name; empty if they do."""
    try:
        rows = [line.split() for _, line in read_lines(path)]
    except CorpusError as error:
        return str(error).replace(str(path), path.name)
    if any(len(row) != 3 or not (row[0].isdecimal() and row[1].isdecimal()) for row in rows):
        return f"{path.name}: a row is not the start, the end and the word"
    said = " ".join(word for _, _, word in rows if word not in _SILENCES)
    sentence = decode_name(path.stem.lower())
    return "" if said == sentence else f"{path.name}: {said!r}, but the name of the clip says {sentence!r}"


def _speaker(path: Path, folder: Path) -> str:
    """Return the nearest folder named like a GRID speaker (``s1`` … ``s34``), else the parent folder."""
    parents = path.relative_to(folder).parts[:-1]
    named = [part.lower() for part in reversed(parents) if re.fullmatch(r"s\d+", part.lower())]
    return named[0] if named else corpus_name(path.parent.resolve().name)
