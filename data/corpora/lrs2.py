"""LRS2-BBC as it is downloaded (Afouras, Chung, Senior, Vinyals, Zisserman 2018, arXiv:1809.02108).

    pretrain.txt train.txt val.txt test.txt     one clip in a line: 5535415699068794046/00001
    pretrain/<programme>/00001.mp4, .txt        long, with word times
    main/<programme>/00001.mp4, .txt

pretrain and train are train. A speaker is a programme: the corpus knows no more, and a programme may have
clips in more than one split.
"""

from __future__ import annotations

from pathlib import Path

from data.corpora.lists import read_lines
from data.corpora.lrs_clips import pretrain_takes, whole_take
from data.corpora.paths import id_of_path, inside, require_file_name
from data.corpora.raw import Corpus
from data.corpora.takes import Take, corpus_of
from mome.errors import CorpusError
from mome.progress import progress
from mome.records import Split

__all__ = ["find_lrs2", "read_lrs2"]

_LISTS: dict[str, tuple[str, Split]] = {
    "pretrain.txt": ("pretrain", "train"),
    "train.txt": ("main", "train"),
    "val.txt": ("main", "validation"),
    "test.txt": ("main", "test"),
}


def find_lrs2(folder: Path) -> Path | None:
    """Return the folder ``main`` of LRS2, or None."""
    main = folder / "main"
    return main if next(main.glob("*/*.txt"), None) else None


def read_lrs2(folder: Path, main: Path) -> Corpus:
    """Open LRS2.

    A clip whose text is damaged or whose video is missing is named by validation.

    Raises:
        CorpusError: If a list of ``main`` is missing, or names a clip outside the folder.
    """
    lists = [name for name, (part, _) in _LISTS.items() if part == main.name or (folder / name).is_file()]
    if missing := [name for name in lists if not (folder / name).is_file()]:
        raise CorpusError(
            f"{folder}: main has clips of all splits, but {', '.join(missing)} is missing that says which is "
            "which; the lists are beside the corpus on its page"
        )
    takes: list[Take] = []
    for name in lists:
        part, split = _LISTS[name]
        for number, line in progress(read_lines(folder / name), f"reading {name}"):
            where = f"{folder / name}, line {number}"
            clip = line.split()[0]  # test.txt goes on with NF or MV
            video = inside(folder, f"{part}/{clip}.mp4", where)
            utterance_id = id_of_path(f"{part}/{clip}.mp4")
            require_file_name(utterance_id, where)
            if part == "pretrain":
                takes += pretrain_takes(utterance_id, split, video.parent.name, video)
            else:
                takes.append(whole_take(utterance_id, split, video.parent.name, video))
    return corpus_of("lrs2", folder, takes)
