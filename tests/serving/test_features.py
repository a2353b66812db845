"""Whether anybody speaks: silence and noise have no text, drowned speech has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mome.speech.media import Clip, read_clip
from mome.speech.noise import mix_at_snr
from serving.features import Features, measure, whole
from tests.serving.planted import syllables

CORPORA = Path(__file__).parents[3] / "shared" / "corpora"
needs_corpora = pytest.mark.skipif(
    not CORPORA.is_dir(), reason="real recordings are not beside this checkout"
)


def is_silent(samples: np.ndarray) -> bool:
    return measure(Clip(samples.astype(np.float32), None)).silent


def test_silence_and_white_noise_have_nobody_who_speaks() -> None:
    noise = np.random.default_rng(0).normal(size=32_000)
    for gain in (0.0, 1e-4, 0.01, 0.1):
        assert is_silent(gain * noise), gain


def test_the_tone_of_a_telephone_is_nobody_who_speaks() -> None:
    at_s = np.arange(48_000) / 16_000
    ringing = 0.1 * np.sin(2 * np.pi * 425 * at_s) * (at_s % 2 < 1)
    features = measure(Clip(ringing.astype(np.float32), None))
    assert features.silent
    assert features.voiced_s == 0.0
    assert not is_silent(syllables(3.0))


def test_lips_may_speak_where_nothing_is_heard() -> None:
    mouth = np.full((50, 96, 96), 128, np.uint8)
    assert not measure(Clip(np.zeros(32_000, np.float32), mouth)).silent


@needs_corpora
def test_real_sentences_are_heard_quiet_and_drowned() -> None:
    rng = np.random.default_rng(1)
    dishes = read_clip(next((CORPORA / "noise").glob("*dish*.flac")), None).samples
    assert dishes is not None
    for path in sorted((CORPORA / "librispeech").rglob("*.flac"))[:5]:
        speech = read_clip(path, None).samples
        assert speech is not None
        speech = speech[: 5 * 16_000]
        start = rng.integers(0, len(dishes) - len(speech))
        assert not is_silent(0.01 * speech), path
        assert not is_silent(mix_at_snr(speech, dishes[start : start + len(speech)], -5.0)), path


def test_a_long_recording_is_what_its_pieces_are_for_most_of_the_time() -> None:
    def piece(snr_db: float | None, level_db: float) -> Features:
        kind = None if snr_db is None else "steady"
        return Features(snr_db, snr_db is not None, kind, 0.5, level_db, 0.5, None, voiced_s=1.0)  # type: ignore[arg-type]

    seen = whole([(1.0, piece(30.0, -10.0)), (5.0, piece(5.0, -20.0)), (1.0, piece(None, -80.0))])

    assert (seen.snr_db, seen.snr_confident, seen.noise_kind) == (5.0, True, "steady")
    assert (seen.level_db, seen.voiced_s, seen.mouth_sharpness) == (-20.0, 3.0, None)
    alone = piece(7.0, -3.0)
    assert whole([(2.0, alone)]) is alone
