"""When the frames of a video are shown, and which rate that makes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mome.scales import VIDEO_FRAMES_PER_SECOND

__all__ = ["LONGEST_LAST_S", "frame_rate", "frame_times", "last_shown_s"]

Times = npt.NDArray[np.float64]

# What cameras record. A container may write a rate rounded (29.97), or times in whole milliseconds.
_USUAL_FPS = (10.0, 12.5, 15.0, 24 / 1.001, 24.0, 25.0, 30 / 1.001, 30.0, 48.0, 50.0, 60 / 1.001, 60.0, 120.0)
_ROUNDED = 5e-4  # as a part of the rate: half of what lies between 30 / 1.001 and 30
_ROUNDED_S = 1e-3  # a millisecond over the whole of a clip
LONGEST_LAST_S = 0.5


def frame_times(stamps: Sequence[float | None], declared_fps: float) -> tuple[float, Times]:
    """Return when the first frame is shown, and the time of each after that ``(T,)``, never falling.

    Args:
        stamps: As in the file, in seconds; a frame without one follows its neighbour at the declared rate.
        declared_fps: What the header says; 0 when it says nothing.
    """
    step_s = 1.0 / (declared_fps or VIDEO_FRAMES_PER_SECOND)
    start_s = next((stamp - index * step_s for index, stamp in enumerate(stamps) if stamp is not None), 0.0)
    times_s: list[float] = []
    for stamp in stamps:
        last_s = times_s[-1] if times_s else start_s - step_s
        times_s.append(last_s + step_s if stamp is None else max(stamp, last_s))
    return start_s, np.asarray(times_s) - start_s


def frame_rate(times_s: Times, declared_fps: float) -> float:
    """Return the rate that the frame times show: a browser's recording declares none, or a wrong one.

    A rate that cameras have is said as that: one corpus has one rate, however its containers round it.
    """
    fps = declared_fps or float(VIDEO_FRAMES_PER_SECOND)
    rounded = _ROUNDED
    if len(times_s) > 1 and times_s[-1] > 0:
        fps = (len(times_s) - 1) / float(times_s[-1])
        rounded = max(_ROUNDED, _ROUNDED_S / float(times_s[-1]))
    near = [usual for usual in (declared_fps, *_USUAL_FPS) if usual and abs(usual - fps) <= rounded * fps]
    usual = min(near, key=lambda usual: (usual not in _USUAL_FPS, abs(usual - fps)), default=fps)
    return round(usual, 3)


def last_shown_s(times_s: Times, fps: float) -> float:
    """Return how long the last frame is shown: as long as the one before it, within reason."""
    before_s = float(times_s[-1] - times_s[-2]) if len(times_s) > 1 else 0.0
    # A single frame has a rate that its header says, and a damaged one may say a frame in eight minutes.
    return min(before_s or 1.0 / fps, LONGEST_LAST_S)
