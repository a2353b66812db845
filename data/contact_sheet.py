"""Mouths of a dataset as a contact sheet: what was cut out, and how its sound goes with it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import numpy.typing as npt

from mome.records import Split, Utterance
from mome.speech.shards import SplitReader

__all__ = ["SHOWN", "chosen", "contact_sheet"]

SHOWN = 24  # recordings
_FRAMES = 4  # of each, spread over it
_SIDE = 64  # pixels of a frame on the page
_QUALITY = 80  # of JPEG


def chosen(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Return the recordings to look at: those whose sound is least sure to be theirs, then of every kind.

    Half of the sheet is for the least sure; what was not measured is among the others, which are spread over
    the manifest.
    """
    seen = [row for row in utterances if row.decodable and row.has_video]
    measured = [row for row in seen if row.sync_confidence is not None]
    doubtful = sorted(measured, key=lambda row: row.sync_confidence or 0.0)[: SHOWN // 2]
    names = {row.utterance_id for row in doubtful}
    others = [row for row in seen if row.utterance_id not in names]
    if not others:
        return doubtful
    places = np.unique(np.linspace(0, len(others) - 1, SHOWN - len(doubtful)).astype(int))
    return doubtful + [others[place] for place in places]


def contact_sheet(dataset: Path, utterances: Sequence[Utterance]) -> str:
    """Return four frames of each of the recordings `chosen`, with what was measured below, as HTML.

    Args:
        dataset: Folder that `data.prepare` wrote.
        utterances: Of its manifest.

    Raises:
        CorpusError: If a shard is missing or damaged.
    """
    shown = chosen(utterances)
    if not shown:
        return '<p class="muted">no recording has video</p>'
    pictures = dict(_pictures(dataset, shown))
    cells = "".join(_cell(row, pictures[row.utterance_id]) for row in shown)
    return f'<div class="sheet">{cells}</div>'


def _pictures(dataset: Path, shown: Sequence[Utterance]) -> Iterator[tuple[str, bytes]]:
    """Yield id and JPEG of each recording."""
    names = {row.utterance_id for row in shown}
    for split in get_args(Split):
        if all(row.split != split for row in shown):
            continue
        reader = SplitReader(dataset, split)
        for index, row in enumerate(reader.utterances):
            if row.utterance_id in names:
                mouth = reader.mouth(index)
                assert mouth is not None  # `chosen` takes those with video
                yield row.utterance_id, _strip(mouth)
        reader.close()


def _strip(mouth: npt.NDArray[np.uint8]) -> bytes:
    """Return frames beside each other; the first and the last are rarely of speech."""
    places = np.linspace(0, len(mouth) - 1, _FRAMES + 2).astype(int)[1:-1]
    frames = [cv2.resize(mouth[place], (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for place in places]
    written, content = cv2.imencode(".jpg", np.hstack(frames), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert written  # gray pictures of one size always can be
    return content.tobytes()


def _cell(row: Utterance, picture: bytes) -> str:
    content = base64.b64encode(picture).decode()
    name = escape(row.utterance_id)
    return (
        f'<figure><img src="data:image/jpeg;base64,{content}" alt="mouth of {name}">'
        f"<figcaption>{name}<br>{_said(row)}</figcaption></figure>"
    )


def _said(row: Utterance) -> str:
    if row.sync_confidence is None or row.sync_offset_frames is None:
        return '<span class="muted">not measured</span>'
    return f"{row.sync_offset_frames:+d} frames, confidence {row.sync_confidence:.2f}"
