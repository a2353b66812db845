"""Is this sound of this mouth, and does it come at the same time? How lips move beside what is heard."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mome.scales import VIDEO_FRAMES_PER_SECOND
from mome.speech.lip_flow import lip_flow
from mome.speech.synchrony_network import (
    MOST_LAG,
    confidence,
    lip_vectors,
    profile,
    sound_vectors,
    sounds,
)

__all__ = ["Synchrony", "synchrony"]

_SHORTEST = VIDEO_FRAMES_PER_SECOND * 4 // 5  # frames: in less, too little is said
_SILENT = 1e-4  # of full scale, the faintest peak at which something can be heard


class Synchrony(NamedTuple):
    """How sound and lips of one clip go together.

    Args:
        offset_frames: By which the sound comes after the lips, at 25 fps; negative where it is early.
        confidence: That the sound is of this mouth, 0 to 1: as probable as that, where as many are as are
            not. Where it is low the offset means nothing.
    """

    offset_frames: int
    confidence: float


def synchrony(mouth: npt.NDArray[np.uint8], samples: npt.NDArray[np.float32]) -> Synchrony | None:
    """Return how sound goes with lips, searched for up to 15 frames, or 0.6 s, either way.

    Args:
        mouth: ``(T, 96, 96)`` at 25 fps.
        samples: ``(N,)`` at 16 kHz, from the first frame on.

    Returns:
        None where nothing can be said: in less than 0.8 s, of a still picture, of silence.
    """
    if len(mouth) < _SHORTEST or not len(samples) or float(np.abs(samples).max()) < _SILENT:
        return None
    correlations = profile(lip_vectors(lip_flow(mouth)), sound_vectors(sounds(samples, len(mouth))))
    if correlations is None:
        return None
    return Synchrony(int(correlations.argmax()) - MOST_LAG, confidence(correlations, len(mouth)))
