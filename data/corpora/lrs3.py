"""LRS3 as it is downloaded (Afouras, Chung, Zisserman 2018, arXiv:1809.00496).

    pretrain/<talk>/00001.mp4, .txt     long, with word times
    trainval/<talk>/50001.mp4, .txt
    test/<talk>/00001.mp4, .txt

pretrain and trainval are train. There is no validation split: whole talks of train are held out. A speaker
is a talk: the corpus knows no more.
"""

from __future__ import annotations

from pathlib import Path

from data.corpora.lrs_clips import pretrain_takes, whole_take
from data.corpora.raw import Corpus
from data.corpora.takes import Take, corpus_of, with_validation
from mome.progress import progress

__all__ = ["find_lrs3", "read_lrs3"]

_PARTS = ("pretrain", "trainval", "test")
_ENDINGS = (".mp4", ".txt")


def find_lrs3(folder: Path) -> list[Path]:
    """Return the parts of LRS3 that a folder has: those with texts and videos two folders deep."""
    return [
        folder / part
        for part in _PARTS
        if all(next((folder / part).glob(f"*/*{ending}"), None) for ending in _ENDINGS)
    ]


def read_lrs3(folder: Path, parts: list[Path]) -> Corpus:
    """Open LRS3, or some parts of it.

    A clip whose text is damaged or whose video is missing is named by validation.
    """
    takes: list[Take] = []
    for part in parts:
        # By the texts, too: a clip that was lost on the way has a row that says so.
        clips = sorted({path.with_suffix(".mp4") for path in part.glob("*/*") if path.suffix in _ENDINGS})
        for video in progress(clips, f"reading {part.name}"):
            talk = video.parent.name
            name = f"{part.name}-{talk}-{video.stem}"
            if part.name == "pretrain":
                takes += pretrain_takes(name, "train", talk, video)
            else:
                takes.append(whole_take(name, "test" if part.name == "test" else "train", talk, video))
    return corpus_of("lrs3", folder, with_validation(folder, takes))
