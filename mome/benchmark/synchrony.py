"""How well sound is found that was moved, and that of others told apart, on a prepared dataset.

    python -m mome.benchmark.synchrony DATASET [--speakers NAME ...] [--clips 40]

Sound of each clip is moved by 40 to 200 ms either way, with silence in front; and each mouth is given the
sound of every other clip.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt

from mome.cli import main
from mome.errors import CorpusError
from mome.progress import progress
from mome.records import Split
from mome.reporting.markdown import columns
from mome.speech.audio import SAMPLING_RATE
from mome.speech.dataset import open_dataset
from mome.speech.media import Clip
from mome.speech.shards import SplitReader
from mome.speech.synchrony import synchrony

__all__ = ["Figures", "measured", "moved"]

MOVED_MS = (-200, -160, -120, -80, -60, -40, 0, 40, 60, 80, 120, 160, 200)
_FRAME_MS = 40


@dataclass(frozen=True)
class Figures:
    """What was found.

    Args:
        clips: Number of clips.
        within_a_frame: Share of moved sounds found within a frame of where they are.
        area: Under the curve of confidence, own sound against that of others.
        ms_per_s: Processor time of a second of a clip.
    """

    clips: int
    within_a_frame: float
    area: float
    ms_per_s: float


def measured(clips: Sequence[Clip]) -> Figures:
    """Return figures over clips with sound and lips; what cannot be judged counts as wrong, confidence 0."""
    own, others, hits = [], [], []
    spent = seconds = 0.0
    for index, clip in enumerate(progress(clips, "move and swap the sound")):
        assert clip.mouth is not None  # whoever asks has looked
        assert clip.samples is not None
        for late_ms in MOVED_MS:
            began = time.thread_time()
            found = synchrony(clip.mouth, moved(clip.samples, late_ms))
            spent += time.thread_time() - began
            seconds += clip.duration_s
            hits.append(found is not None and abs(found.offset_frames - late_ms / _FRAME_MS) <= 1)
            own.append(found.confidence if found else 0.0)
        for other, swapped in enumerate(clips):
            if other != index and swapped.samples is not None:
                found = synchrony(clip.mouth, swapped.samples)
                others.append(found.confidence if found else 0.0)
    return Figures(len(clips), float(np.mean(hits)), _area(own, others), 1000 * spent / seconds)


def moved(samples: npt.NDArray[np.float32], late_ms: int) -> npt.NDArray[np.float32]:
    """Return sound that comes so much later, with silence in front, or begins within itself."""
    count = late_ms * SAMPLING_RATE // 1000
    return np.pad(samples, (count, 0)) if count > 0 else samples[-count:]


def _area(own: Sequence[float], others: Sequence[float]) -> float:
    """Return how often own sound is surer than another; ties count by half (Mann and Whitney 1947)."""
    ranked = np.sort(others)
    below, upto = np.searchsorted(ranked, own, "left"), np.searchsorted(ranked, own, "right")
    return float((below + upto).mean() / 2 / max(1, len(others)))


def _clips(dataset: Path, speakers: Sequence[str], count: int) -> list[Clip]:
    """Return clips with sound and lips, spread over all that there are; no others are decoded."""
    found = [
        (reader, index)
        for reader in (SplitReader(dataset, split) for split in get_args(Split))
        for index, row in enumerate(reader.utterances)
        if row.has_video and row.num_samples and (not speakers or row.speaker in speakers)
    ]
    if len(found) < 2:
        raise CorpusError(f"{dataset}: {len(found)} clips with sound and lips, expected at least 2")
    places = np.unique(np.linspace(0, len(found) - 1, count).astype(int))
    return [reader.clip(index) for reader, index in (found[place] for place in places)]


def _command() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", help="folder that data.prepare wrote, or s3://bucket/prefix")
    parser.add_argument("--speakers", nargs="*", default=(), help="of these alone; default: all")
    parser.add_argument("--clips", type=int, default=40, help="spread over the dataset; default: 40")
    given = parser.parse_args()
    figures = measured(_clips(open_dataset(given.dataset), given.speakers, given.clips))
    print(
        columns(
            ("clips", "within a frame", "area under the curve", "ms a second"),
            [
                (
                    str(figures.clips),
                    f"{figures.within_a_frame:.1%}",
                    f"{figures.area:.3f}",
                    f"{figures.ms_per_s:.2f}",
                )
            ],
        )
    )


if __name__ == "__main__":
    raise SystemExit(main(_command))
