"""LRS2, LRS3 and VoxCeleb2 as auto_avsr and Llama-AVSR cut and label them (model facts 10).

    labels/lrs3_train_….csv                         dataset, path, video frames, token ids, text; no header
    lrs3/lrs3_video_seg16s/trainval/<speaker>/<clip>.mp4   the mouth, 96 x 96 at 25 fps; path from lrs3/ on
    lrs3/lrs3_video_seg16s/trainval/<speaker>/<clip>.wav   the sound, 16 kHz

The name of a label file says the split. LRS3 has no validation split: where no file is for validation,
whole speakers of train are held out, about 1,200 clips, or a tenth of a smaller corpus. A speaker is a
folder, which is a talk in LRS3, a programme in LRS2 and a video in VoxCeleb2: the lists know no more.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from data.corpora.lists import read_lines
from data.corpora.paths import id_of_path, inside, require_file_name
from data.corpora.raw import (
    Corpus,
    RawMedia,
    RawUtterance,
    corpus_name,
    file_stamp,
    fingerprint,
    read_media,
)
from data.corpora.splits import hold_out
from mome.errors import CorpusError
from mome.records import Split

__all__ = ["find_auto_avsr", "read_auto_avsr"]

_COLUMNS = ("dataset", "path", "video frames", "token ids", "text")
_SPLIT_OF: dict[str, Split] = {
    "test": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}
_NAMED = 3  # rows that a message names


@dataclass(frozen=True)
class _Clip:
    utterance_id: str
    speaker: str
    text: str
    sound: Path
    video: Path
    where: str  # file and line, for messages


def find_auto_avsr(folder: Path) -> list[Path]:
    """Return the label files of a folder, sorted."""
    return sorted((folder / "labels").glob("*.csv"))


def read_auto_avsr(folder: Path, labels: list[Path]) -> Corpus:
    """Open a folder of prepared clips.

    Raises:
        CorpusError: If a label file is empty, or a row has not the five columns, points outside the
            folder, names a clip for the second time, or a clip whose sound or video is not there.
    """
    clips: dict[Split, list[_Clip]] = {"train": [], "validation": [], "test": []}
    for file in labels:
        clips[_split(file)] += _read_labels(folder, file)
    listed = [clip for members in clips.values() for clip in members]
    _require_once(listed)
    _require_media(folder, listed)
    if not clips["validation"]:
        clips |= _hold_out(clips["train"])
        speakers = len({clip.speaker for clip in clips["validation"]})
        print(
            f"{folder}: no label file for validation; held out of train are {len(clips['validation'])} "
            f"clips of {speakers} speakers",
            file=sys.stderr,
        )
    ordered = [(split, clip) for split, members in clips.items() for clip in members]

    def media() -> Iterator[RawMedia]:
        return (read_media(clip.sound, clip.video) for _, clip in ordered)

    files = [*labels, *(path for _, clip in ordered for path in (clip.sound, clip.video))]
    return Corpus(
        name=corpus_name(folder.resolve().name),
        speaker_disjoint=_is_disjoint(clips),
        key=fingerprint(["auto-avsr", str(folder.resolve()), *map(file_stamp, files)]),
        utterances=[
            RawUtterance(clip.utterance_id, split, clip.speaker, clip.text) for split, clip in ordered
        ],
        media=media,
    )


def _split(file: Path) -> Split:
    words = re.split(r"[^a-z0-9]+", file.stem.lower())
    return next((_SPLIT_OF[word] for word in words if word in _SPLIT_OF), "train")


def _read_labels(folder: Path, file: Path) -> Iterator[_Clip]:
    lines = read_lines(file)
    if not lines:
        raise CorpusError(
            f"{file}: empty, expected one row for each clip ({', '.join(_COLUMNS)}); auto_avsr leaves such a "
            "file where its preparation failed: run that again, or delete the file"
        )
    for number, line in lines:
        # Not csv.reader: nothing is quoted in these files, and a text may hold a quotation mark.
        yield _clip(folder, line.split(","), f"{file}, line {number}")


def _clip(folder: Path, columns: list[str], where: str) -> _Clip:
    if len(columns) == len(_COLUMNS) - 1:
        raise CorpusError(
            f"{where}: 4 columns, as auto_avsr writes them, expected 5: the text is missing; add it in lower "
            f"case to each row, from files such as {_text_file(*columns[:2])}, or take Llama-AVSR's labels"
        )
    if len(columns) != len(_COLUMNS):
        raise CorpusError(
            f"{where}: {len(columns)} columns, expected 5 ({', '.join(_COLUMNS)}), and no comma in the text"
        )
    dataset, path, frames, _, text = (column.strip() for column in columns)
    if not frames.isdecimal():
        raise CorpusError(f"{where}: {frames!r} video frames, expected a number; these files have no header")
    video = inside(folder, f"{dataset}/{path}", where).with_suffix(".mp4")
    utterance_id = id_of_path(path)
    require_file_name(utterance_id, where)
    return _Clip(utterance_id, video.parent.name, text, video.with_suffix(".wav"), video, where)


def _text_file(dataset: str, path: str) -> str:
    return str(PurePosixPath(dataset, path.replace("_video_", "_text_", 1)).with_suffix(".txt"))


def _require_once(clips: list[_Clip]) -> None:
    first: dict[str, _Clip] = {}
    for clip in clips:
        if clip.utterance_id in first:
            raise CorpusError(
                f"{clip.where}: {clip.utterance_id} is in {first[clip.utterance_id].where}, too; keep one "
                "label file for each split of a dataset in labels"
            )
        first[clip.utterance_id] = clip


def _require_media(folder: Path, clips: list[_Clip]) -> None:
    missing = [
        f"{clip.where}: {path.relative_to(folder)}"
        for clip in clips
        for path in (clip.video, clip.sound)
        if not path.is_file()
    ]
    if missing:
        shown = "; ".join(missing[:_NAMED]) + ("; …" if len(missing) > _NAMED else "")
        raise CorpusError(
            f"{folder}: {len(missing)} files of {len(clips)} clips are not there: {shown}; put them there "
            "or take their rows out"
        )


def _hold_out(train: list[_Clip]) -> dict[Split, list[_Clip]]:
    """Return train and validation."""
    held_out = hold_out(clip.speaker for clip in train)
    return {
        "train": [clip for clip in train if clip.speaker not in held_out],
        "validation": [clip for clip in train if clip.speaker in held_out],
    }


def _is_disjoint(clips: dict[Split, list[_Clip]]) -> bool:
    speakers = [{clip.speaker for clip in members} for members in clips.values()]
    return sum(map(len, speakers)) == len(set().union(*speakers))
