"""LibriSpeech as it is downloaded (Panayotov, Chen, Povey, Khudanpur 2015): sound, and its text per chapter.

    train-clean-100/103/1240/103-1240-0000.flac
    train-clean-100/103/1240/103-1240.trans.txt     103-1240-0000 CHAPTER ONE MISSUS RACHEL LYNDE …

The name of a subset says the split: train-…, dev-… and test-…; of one subset alone, speakers are held out.
"""

from __future__ import annotations

import re
from pathlib import Path

from data.corpora.lists import read_lines
from data.corpora.raw import Corpus, RawUtterance
from data.corpora.takes import Take, corpus_of, with_validation
from mome.errors import CorpusError
from mome.progress import progress
from mome.records import Split

__all__ = ["find_librispeech", "read_librispeech"]

# A subset, LibriSpeech, and the folder that it was unpacked in. Not every file below: there are 290,000.
_PATTERNS = ("*/*/*.trans.txt", "*/*/*/*.trans.txt", "*/*/*/*/*.trans.txt")
_SUBSETS: dict[str, Split] = {"train": "train", "dev": "validation", "test": "test"}


def find_librispeech(folder: Path) -> list[Path]:
    """Return the files of text below a folder, sorted."""
    return next((found for found in (sorted(folder.glob(pattern)) for pattern in _PATTERNS) if found), [])


def read_librispeech(folder: Path, texts: list[Path]) -> Corpus:
    """Open LibriSpeech, some subsets of it, or one.

    Recordings that are missing, and chapters whose text is damaged, are named by validation.

    Raises:
        CorpusError: If two rows have one id.
    """
    takes = [take for text in progress(texts, "reading texts") for take in _chapter(text)]
    return corpus_of("librispeech", folder, with_validation(folder, takes))


def _chapter(text: Path) -> list[Take]:
    subset, reader, chapter = text.resolve().parts[-4:-1]
    split = _SUBSETS.get(subset.partition("-")[0], "train")
    try:
        lines = read_lines(text)
    except CorpusError as error:
        return [Take(RawUtterance(f"{reader}-{chapter}", split, reader, ""), text, problem=str(error))]
    takes = []
    for number, line in lines:
        name, _, said = line.partition(" ")
        known = re.fullmatch(rf"{re.escape(reader)}-{re.escape(chapter)}-\d+", name)
        utterance_id = name if known else f"{reader}-{chapter}-line-{number}"
        problem = "" if known else f"{text.name}, line {number}: {name!r} is no recording of this chapter"
        utterance = RawUtterance(utterance_id, split, reader, said.strip())
        takes.append(Take(utterance, text.with_name(f"{utterance_id}.flac"), problem=problem))
    return takes
