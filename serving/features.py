"""What the request log says about a clip: measured on the raw signal, so it does not depend on the scale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mome.records import NoiseKind
from mome.speech.media import Clip
from mome.speech.mouth import sharpness
from mome.speech.noise_estimate import estimate_noise
from mome.speech.voice import hear_voice, is_silent

__all__ = ["Features", "logged", "measure", "whole"]

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


def logged(features: Features) -> dict[str, Any]:
    """Return those that the request log has, under the names that it gives them."""
    return {
        "snr_db": features.snr_db,
        "snr_confident": features.snr_confident,
        "noise_kind": features.noise_kind,
        "noise_confidence": features.noise_confidence,
        "level_db": features.level_db,
        "speech_share": features.speech_share,
        "mouth_sharpness": features.mouth_sharpness,
    }


def measure(clip: Clip) -> Features:
    """Measure a clip with the functions that made the drift baseline."""
    mouth_sharpness = None if clip.mouth is None else sharpness(clip.mouth)
    if clip.samples is None:
        return Features(None, False, None, 0.0, _NO_LEVEL_DB, 0.0, mouth_sharpness)
    noise = estimate_noise(clip.samples)
    voice = hear_voice(clip.samples)
    return Features(
        snr_db=noise.snr_db,
        snr_confident=noise.confident,
        noise_kind=noise.kind,
        noise_confidence=noise.kind_confidence,
        level_db=noise.level_db,
        speech_share=noise.speech_share,
        mouth_sharpness=mouth_sharpness,
        voiced_s=voice.heard_s,
        # Lips may speak where nothing is heard.
        silent=clip.mouth is None and is_silent(clip.duration_s, voice, noise),
    )


def whole(pieces: Sequence[tuple[float, Features]]) -> Features:
    """Return what is said of a whole recording: of each feature its median, by seconds.

    Args:
        pieces: How long each piece is, in seconds, and what was measured on it.
    """
    if len(pieces) == 1:
        return pieces[0][1]
    speech = [(seconds, each) for seconds, each in pieces if each.snr_db is not None]
    sharp = [(seconds, each.mouth_sharpness) for seconds, each in pieces if each.mouth_sharpness is not None]
    kinds: Counter[NoiseKind] = Counter()
    for seconds, each in speech:
        if each.noise_kind is not None:
            kinds[each.noise_kind] += seconds  # type: ignore[assignment]  # typeshed counts in whole numbers
    kind = max(kinds, key=lambda kind: kinds[kind], default=None)
    return Features(
        snr_db=_median([(seconds, each.snr_db) for seconds, each in speech if each.snr_db is not None]),
        snr_confident=bool(_median([(seconds, float(each.snr_confident)) for seconds, each in speech])),
        noise_kind=kind,
        noise_confidence=_median(
            [(seconds, each.noise_confidence) for seconds, each in speech if each.noise_kind == kind]
        )
        or 0.0,
        level_db=_median([(seconds, each.level_db) for seconds, each in pieces]) or _NO_LEVEL_DB,
        speech_share=_median([(seconds, each.speech_share) for seconds, each in pieces]) or 0.0,
        mouth_sharpness=_median(sharp),
        voiced_s=sum(each.voiced_s for _, each in pieces),
        silent=all(each.silent for _, each in pieces),
    )


def _median(weighted: Sequence[tuple[float, float]]) -> float | None:
    """Return the value at half of the weight; None of nothing."""
    left = sum(weight for weight, _ in weighted) / 2
    for weight, value in sorted(weighted, key=lambda pair: pair[1]):
        left -= weight
        if left <= 0:
            return value
    return None
