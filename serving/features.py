"""What the request log says about a clip: measured on the raw signal, so it does not depend on the scale."""

from __future__ import annotations

from dataclasses import dataclass

from mome.records import NoiseKind
from mome.speech.media import Clip
from mome.speech.mouth import sharpness
from mome.speech.noise_estimate import NoiseEstimate, estimate_noise
from mome.speech.voice import no_speech_probability, voiced_s

__all__ = ["Features", "measure"]

_MIN_JUDGED_S = 1.0
_DROWNED_DB = -8.0  # of 480 real clips at -5 dB none reads lower and has no voice (docs/api.md)
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
        voiced_s: For how many seconds a voice is heard.
        silent: There is sound alone, and nobody speaks in it; its text is empty.
    """

    snr_db: float | None
    snr_confident: bool
    noise_kind: NoiseKind | None
    noise_confidence: float
    level_db: float
    speech_share: float
    mouth_sharpness: float | None
    voiced_s: float = 0.0
    silent: bool = False


def measure(clip: Clip) -> Features:
    """Measure a clip with the functions that made the drift baseline."""
    mouth_sharpness = None if clip.mouth is None else sharpness(clip.mouth)
    if clip.samples is None:
        return Features(None, False, None, 0.0, _NO_LEVEL_DB, 0.0, mouth_sharpness)
    noise = estimate_noise(clip.samples)
    voice_s = voiced_s(clip.samples)
    return Features(
        snr_db=noise.snr_db,
        snr_confident=noise.confident,
        noise_kind=noise.kind,
        noise_confidence=noise.kind_confidence,
        level_db=noise.level_db,
        speech_share=noise.speech_share,
        mouth_sharpness=mouth_sharpness,
        voiced_s=voice_s,
        # Lips may speak where nothing is heard.
        silent=clip.mouth is None and _is_silent(clip.duration_s, voice_s, noise),
    )


def _is_silent(duration_s: float, voice_s: float, noise: NoiseEstimate) -> bool:
    """Tell whether nobody speaks.

    No voice is heard, and no noise could have drowned one: in -5 dB of dishes a third of real sentences
    have no pitch that can be found, but what is measured there says that something is said. In a word of
    less than a second little is enough to drown it.
    """
    if no_speech_probability(voice_s) <= 0.5:
        return False
    if noise.snr_db is not None and noise.snr_db > _DROWNED_DB:
        return False
    return duration_s >= _MIN_JUDGED_S or noise.speech_share == 0.0
