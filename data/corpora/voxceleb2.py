"""VoxCeleb2 as it is downloaded, with transcripts that somebody made (Chung, Nagrani, Zisserman 2018).

    dev/mp4/id00012/21Uxsk56VDQ/00001.mp4      face and sound
    dev/mp4/id00012/21Uxsk56VDQ/00001.txt      its text, on the first line, with or without "Text:"
    test/mp4/…

The corpus has no text of its own. dev is train, and whole speakers of it are held out for validation.
Clips without a text are left out: as a rule only those in English have one.
"""

from __future__ import annotations

from pathlib import Path

from data.corpora.lists import read_lines
from data.corpora.raw import Corpus, RawUtterance
from data.corpora.takes import Take, corpus_of, with_validation
from mome.errors import CorpusError
from mome.progress import progress
from mome.records import Split

__all__ = ["find_voxceleb2", "read_voxceleb2"]

_PARTS: dict[str, Split] = {"dev": "train", "test": "test"}


def find_voxceleb2(folder: Path) -> list[Path]:
    """Return the parts of VoxCeleb2 that a folder has."""
    parts = [folder / part / "mp4" for part in _PARTS]
    return [part for part in parts if next(part.glob("id*/*/*.mp4"), None)]


def read_voxceleb2(folder: Path, parts: list[Path]) -> Corpus:
    """Open VoxCeleb2; a text that is damaged is named by validation.

    Raises:
        CorpusError: If no clip has a text.
    """
    takes: list[Take] = []
    for part in parts:
        subset = part.parent.name
        for text in progress(sorted(part.glob("id*/*/*.txt")), f"reading {subset}"):
            speaker, recording = text.parts[-3:-1]
            name = f"{subset}-{speaker}-{recording}-{text.stem}"
            said, problem = _first_line(text)
            utterance = RawUtterance(name, _PARTS[subset], speaker, said)
            takes.append(Take(utterance, text.with_suffix(".mp4"), problem=problem))
    if not takes:
        raise CorpusError(
            f"{folder}: VoxCeleb2 has no text of its own; put one beside each clip that is to be used, "
            "00001.txt beside 00001.mp4"
        )
    return corpus_of("voxceleb2", folder, with_validation(folder, takes))


def _first_line(path: Path) -> tuple[str, str]:
    try:
        lines = read_lines(path)
    except CorpusError as error:
        return "", str(error)
    return (lines[0][1].removeprefix("Text:").strip(), "") if lines else ("", f"{path}: empty")
