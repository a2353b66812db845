"""Mouths of a dataset as a contact sheet: what was cut out, and how its sound goes with it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from mome.speech.shards import SplitReader

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SHOWN", "chosen", "contact_sheet"]

SHOWN = 24  # recordings
_FRAMES = 4  # of each, spread over it
_SIDE = 64  # pixels of a frame on the page
_QUALITY = 80  # of JPEG


def chosen(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the recordings to look at: those whose sound is least sure to be theirs, then of every kind.

    Half of the sheet is for the least sure; what was not measured is among the others, which are spread over
    the manifest.
    """
    import pandas as pd

    seen = manifest[manifest["decodable"] & manifest["has_video"]]
    measured = seen[seen["sync_confidence"].notna()]
    doubtful = measured.sort_values("sync_confidence", kind="stable").head(SHOWN // 2)
    others = seen.drop(doubtful.index)
    if others.empty:
        return doubtful
    places = np.unique(np.linspace(0, len(others) - 1, SHOWN - len(doubtful)).astype(int))
    return pd.concat([doubtful, others.iloc[places]])


def contact_sheet(dataset: Path, manifest: pd.DataFrame) -> str:
    """Return four frames of each of the recordings `chosen`, with what was measured below, as HTML.

    Args:
        dataset: Folder that `data.prepare` wrote.
        manifest: A row for each utterance.

    Raises:
        CorpusError: If a shard is missing or damaged.
    """
    shown = chosen(manifest)
    if shown.empty:
        return '<p class="muted">no recording has video</p>'
    pictures = dict(_pictures(dataset, shown))
    figures = shown[["utterance_id", "sync_offset_frames", "sync_confidence"]]
    rows = figures.itertuples(index=False, name=None)
    cells = "".join(_cell(name, pictures[name], _said(late, sure)) for name, late, sure in rows)
    return f'<div class="sheet">{cells}</div>'


def _pictures(dataset: Path, shown: pd.DataFrame) -> Iterator[tuple[str, bytes]]:
    """Yield id and JPEG of each recording."""
    names = set(shown["utterance_id"])
    for split in shown["split"].unique():
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


def _cell(name: str, picture: bytes, said: str) -> str:
    content = base64.b64encode(picture).decode()
    name = escape(name)
    return (
        f'<figure><img src="data:image/jpeg;base64,{content}" alt="mouth of {name}">'
        f"<figcaption>{name}<br>{said}</figcaption></figure>"
    )


def _said(offset_frames: float, confidence: float) -> str:
    if np.isnan(confidence):
        return '<span class="muted">not measured</span>'
    return f"{offset_frames:+.0f} frames, confidence {confidence:.2f}"
