"""A clip of LRS2 or LRS3: face and sound in ``00001.mp4``, its text beside it in ``00001.txt``.

    Text:  SO I SAID YES
    Conf:  4

    WORD START END ASDSCORE         in pretrain: when each word is said, in seconds
    SO 0.08 0.21 5.6
    …

Clips of pretrain are longer than what is read at once: they are cut at borders of words into pieces of at
most 16 s, as auto_avsr does. Braces around what is spelt, {LG}, are no part of the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from data.corpora.cut import Span
from data.corpora.lists import read_lines
from data.corpora.raw import RawUtterance
from data.corpora.takes import Take
from mome.errors import CorpusError
from mome.records import Split

__all__ = ["LONGEST_S", "Word", "pieces", "pretrain_takes", "read_text", "read_words", "whole_take"]

LONGEST_S = 16.0
_TEXT = "Text:"
_NO_BRACES = str.maketrans("", "", "{}")


class Word(NamedTuple):
    """A word, and when it is said."""

    text: str
    start_s: float
    end_s: float


def read_text(path: Path) -> str:
    """Return the text of a clip.

    Raises:
        CorpusError: If the file cannot be read, or does not begin with it.
    """
    lines = read_lines(path)
    if not lines or not lines[0][1].startswith(_TEXT):
        found = lines[0][1][:40] if lines else ""
        raise CorpusError(f"{path}: begins with {found!r}; expected {_TEXT!r} and what is said")
    return lines[0][1].removeprefix(_TEXT).translate(_NO_BRACES).strip()


def read_words(path: Path) -> list[Word]:
    """Return the words of a clip of pretrain.

    Raises:
        CorpusError: If the file cannot be read, has no table of words, or a row of it is none, or earlier
            than the one before.
    """
    lines = iter(read_lines(path))
    if not any(line.startswith("WORD") for _, line in lines):
        raise CorpusError(f"{path}: no table WORD START END of word times; clips of pretrain are cut by it")
    words: list[Word] = []
    for number, line in lines:
        words.append(_word(line, f"{path}, line {number}"))
        if words[-1].start_s < (words[-2].end_s if len(words) > 1 else 0.0):
            raise CorpusError(f"{path}, line {number}: {line!r} begins before the word before it has ended")
    if not words:
        raise CorpusError(f"{path}: the table of word times is empty")
    return words


def _word(line: str, where: str) -> Word:
    try:
        text, start, end = line.split()[:3]
        word = Word(text.translate(_NO_BRACES), float(start), float(end))
    except ValueError:
        raise CorpusError(f"{where}: {line!r}; expected a word, its start and its end in seconds") from None
    if not word.start_s <= word.end_s <= word.start_s + LONGEST_S:
        raise CorpusError(
            f"{where}: {word.text} from {word.start_s:g} to {word.end_s:g} s; a word ends after its start "
            f"and lasts at most {LONGEST_S:g} s"
        )
    return word


def pieces(words: list[Word], longest_s: float = LONGEST_S) -> list[list[Word]]:
    """Return the words piece by piece: each as long as goes into ``longest_s``."""
    found: list[list[Word]] = []
    for word in words:
        if found and word.end_s - found[-1][0].start_s <= longest_s:
            found[-1].append(word)
        else:
            found.append([word])
    return found


def whole_take(utterance_id: str, split: Split, speaker: str, video: Path) -> Take:
    """Return a clip as it is."""
    return _or_problem(utterance_id, split, speaker, video, _whole)[0]


def pretrain_takes(utterance_id: str, split: Split, speaker: str, video: Path) -> list[Take]:
    """Return a clip of pretrain in pieces; a short one is one piece, and stays as it is.

    The pieces of a clip are ``<id>_00``, ``<id>_01`` and so on.
    """
    return _or_problem(utterance_id, split, speaker, video, _cut)


def _or_problem(
    utterance_id: str,
    split: Split,
    speaker: str,
    video: Path,
    takes: Callable[[RawUtterance, Path], Iterator[Take]],
) -> list[Take]:
    utterance = RawUtterance(utterance_id, split, speaker, "")
    try:
        return list(takes(utterance, video))
    except CorpusError as error:
        return [Take(utterance, video, problem=str(error))]


def _whole(utterance: RawUtterance, video: Path) -> Iterator[Take]:
    yield Take(replace(utterance, transcript=read_text(video.with_suffix(".txt"))), video)


def _cut(utterance: RawUtterance, video: Path) -> Iterator[Take]:
    text = video.with_suffix(".txt")
    words = read_words(text)
    if words[-1].end_s <= LONGEST_S:
        yield from _whole(utterance, video)
        return
    for number, piece in enumerate(pieces(words)):
        yield Take(
            RawUtterance(
                f"{utterance.utterance_id}_{number:02d}",
                utterance.split,
                utterance.speaker,
                " ".join(word.text for word in piece),
            ),
            video,
            span=Span(piece[0].start_s, piece[-1].end_s),
        )
