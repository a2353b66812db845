"""How fast mouths are found, by landmarks beside the cascade, on one thread; and a sheet to look at.

    python -m mome.benchmark.mouths FOLDER --detector FILE --landmarks FILE [--sheet FILE]

Whether the middle is right a person sees on the sheet: it has a row for each clip, and marks the middle
that the landmarks give.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from mome.cli import main
from mome.errors import ConfigError
from mome.progress import progress
from mome.reporting.markdown import columns
from mome.speech.faces.models import CASCADE, FaceModels
from mome.speech.mouth import Frames, find_mouth
from mome.speech.video import read_video, to_25_fps

__all__ = ["sheet", "tables", "timed"]

_SUFFIXES = frozenset({".avi", ".mov", ".mp4", ".mpg", ".webm"})
_SIZES = {"as they are": None, "1280 x 720": (1280, 720)}
_SHOWN = 5  # mouths of a clip on the sheet


def timed(frames: Frames, models: FaceModels) -> tuple[float, float]:
    """Return frames of a decoded clip done in a second of this thread's time, and the share found."""
    began = time.thread_time()
    track = find_mouth(frames, models)
    return len(frames) / (time.thread_time() - began), track.found_share


def tables(clips: Sequence[Frames], models: FaceModels) -> str:
    """Return frames per second and the share of frames found, for both ways and all sizes, as Markdown."""
    rows = []
    for size, shape in _SIZES.items():
        for name, way in (("landmarks", models), ("cascade", CASCADE)):
            found = [
                timed(clip if shape is None else _padded(clip, shape), way)
                for clip in progress(clips, f"{name}, {size}")
            ]
            speeds, shares = zip(*found, strict=True)
            cells = f"{median(speeds):.0f}", f"{np.mean(shares):.1%}", f"{min(shares):.1%}"
            rows.append((f"{name}, {size}", *cells))
    return columns(("mouths by", "frames a second", "found", "least of a clip"), rows)


def sheet(clips: Sequence[Frames], models: FaceModels) -> Frames:
    """Return mouths by landmarks, with their middle marked, beside those of the cascade, a clip in a row."""
    rows = []
    for clip in clips:
        shown = np.linspace(0, len(clip) - 1, _SHOWN).astype(int)
        marked = find_mouth(clip, models).frames[shown].copy()
        marked[:, 46:50, 46:50] = 255
        rows.append(np.hstack([*marked, *find_mouth(clip).frames[shown]]))
    return np.vstack(rows)


def _padded(clip: Frames, shape: tuple[int, int]) -> Frames:
    """Return a clip as large as fits into a picture of another size, with gray beside it."""
    width, height = shape
    factor = min(width / clip.shape[2], height / clip.shape[1])
    size = (round(clip.shape[2] * factor), round(clip.shape[1] * factor))
    padded = np.full((len(clip), height, width), 128, np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    for frame, image in zip(padded, clip, strict=True):
        frame[top : top + size[1], left : left + size[0]] = cv2.resize(image, size)
    return padded


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m mome.benchmark.mouths", description=__doc__)
    parser.add_argument("folder", type=Path, help="with clips of talking faces")
    parser.add_argument("--detector", type=Path, help="as prepare.face_detector; default: the cascade")
    parser.add_argument("--landmarks", type=Path, help="as prepare.face_landmarks")
    parser.add_argument("--clips", type=int, default=8, help="spread over the folder; default: 8")
    parser.add_argument("--sheet", type=Path, help="PNG file to write")
    given = parser.parse_args()
    files = sorted(path for path in given.folder.rglob("*") if path.suffix in _SUFFIXES)
    if not files:
        raise ConfigError(f"{given.folder}: holds no clip; expected {', '.join(sorted(_SUFFIXES))}")
    chosen = [files[index] for index in np.unique(np.linspace(0, len(files) - 1, given.clips).astype(int))]
    cv2.setNumThreads(1)
    models = FaceModels(given.detector, given.landmarks)
    clips = [to_25_fps(read_video(path)) for path in progress(chosen, "decode")]
    find_mouth(clips[0][:4], models)  # what is loaded once is not timed
    print(tables(clips, models))
    if given.sheet is not None:
        cv2.imwrite(str(given.sheet), sheet(clips, models))


if __name__ == "__main__":
    raise SystemExit(main(_command))
