"""MuAViC as its get_data.py leaves it (Anwar et al. 2023, arXiv:2303.00628): manifests of AV-HuBERT.

    es/train.tsv        /                                                  the first line is the root
                        train/<talk>/<clip>, video, audio, frames, samples   between tabs
    es/train.es         what is said, line by line
    es/video/train/<talk>/<clip>.mp4, es/audio/train/<talk>/<clip>.wav

In English the files are ``train_avsr.tsv`` and ``train_avsr.en``. Paths in the manifests are those of the
machine that made them: what counts is what follows the language. A speaker is a talk.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from data.corpora.lists import read_list
from data.corpora.paths import id_of_path, inside, require_file_name
from data.corpora.raw import Corpus, RawUtterance
from data.corpora.takes import Take, corpus_of
from mome.errors import CorpusError
from mome.records import Split

__all__ = ["find_muavic", "read_muavic"]

_SPLITS: dict[str, Split] = {"train": "train", "valid": "validation", "test": "test"}
_COLUMNS = 5  # id, video, audio, video frames, audio samples


def find_muavic(folder: Path) -> list[Path]:
    """Return the manifests of one language: the folder's own, or those of the only language in it."""
    for pattern in ("", "*/"):
        found = [
            path
            for path in sorted(folder.glob(f"{pattern}*.tsv"))
            if path.stem.removesuffix("_avsr") in _SPLITS
            and path.with_suffix(f".{path.parent.resolve().name}").is_file()
        ]
        if found:
            return found
    return []


def read_muavic(folder: Path, manifests: list[Path]) -> Corpus:
    """Open MuAViC; recordings that are missing are named by validation.

    Raises:
        CorpusError: If the folder has several languages, or a manifest is none or is not as long as its text.
    """
    languages = sorted({manifest.parent.resolve().name for manifest in manifests})
    if len(languages) > 1:
        raise CorpusError(f"{folder}: holds {', '.join(languages)}; expected the folder of one language")
    takes = [take for manifest in manifests for take in _takes(manifest, languages[0])]
    return corpus_of("muavic", folder, takes)


def _takes(manifest: Path, language: str) -> list[Take]:
    text = manifest.with_suffix(f".{language}")
    rows, said = _lines(manifest)[1:], _lines(text)  # lines belong together by number, empty ones too
    if len(rows) != len(said):
        raise CorpusError(f"{manifest}: {len(rows)} clips, but {text.name} has {len(said)} lines")
    split = _SPLITS[manifest.stem.removesuffix("_avsr")]
    takes = []
    for number, (row, transcript) in enumerate(zip(rows, said, strict=True), 2):
        where = f"{manifest}, line {number}"
        columns = row.split("\t")
        if len(columns) != _COLUMNS:
            raise CorpusError(f"{where}: {len(columns)} columns between tabs, expected {_COLUMNS}")
        clip, video, audio = columns[:3]
        sound, picture = (inside(manifest.parent, _below(path, language), where) for path in (audio, video))
        utterance_id = id_of_path(clip if clip.startswith(manifest.stem) else f"{split}/{clip}")
        require_file_name(utterance_id, where)
        utterance = RawUtterance(utterance_id, split, sound.parent.name, transcript.strip())
        takes.append(Take(utterance, sound, picture))
    return takes


def _lines(path: Path) -> list[str]:
    return [line.removesuffix("\r") for line in read_list(path).rstrip("\n").split("\n")]


def _below(path: str, language: str) -> str:
    """Return what follows the folder of the language: ``audio/train/…``."""
    parts = PurePosixPath(path).parts
    if language not in parts:
        return path
    last = len(parts) - 1 - parts[::-1].index(language)
    return str(PurePosixPath(*parts[last + 1 :]))
