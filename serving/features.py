"""What the request log says about a clip: measured on the raw signal, so it does not depend on the scale."""

from __future__ import annotations

from dataclasses import dataclass

from mome.records import NoiseKind
from mome.speech.media import Clip
from mome.speech.mouth import sharpness
from mome.speech.noise_estimate import estimate_noise

__all__ = ["Features", "measure"]

_NO_LEVEL_DB = -100.0  # a clip without sound is as quiet as a record can say


@dataclass(frozen=True)
class Features:
    """The drift features of one clip.

    Args:
        snr_db: Estimated signal-to-noise ratio; None without speech.
        snr_confident: Whether the estimate is expected to be near.
        noise_kind: What the noise is; None without speech.
        noise_confidence: Probability of that kind.
        level_db: Level, dB full scale.
        speech_share: Share of the frames that hold speech, 0 to 1.
        mouth_sharpness: None without video.
    """

    snr_db: float | None
    snr_confident: bool
    noise_kind: NoiseKind | None
    noise_confidence: float
    level_db: float
    speech_share: float
    mouth_sharpness: float | None


def measure(clip: Clip) -> Features:
    """Measure a clip with the functions that made the drift baseline."""
    mouth_sharpness = None if clip.mouth is None else sharpness(clip.mouth)
    if clip.samples is None:
        return Features(None, False, None, 0.0, _NO_LEVEL_DB, 0.0, mouth_sharpness)
    noise = estimate_noise(clip.samples)
    return Features(
        snr_db=noise.snr_db,
        snr_confident=noise.confident,
        noise_kind=noise.kind,
        noise_confidence=noise.kind_confidence,
        level_db=noise.level_db,
        speech_share=noise.speech_share,
        mouth_sharpness=mouth_sharpness,
    )
