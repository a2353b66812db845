"""Voice: heard in real speech however quiet, not in silence or household noise."""

from pathlib import Path

import numpy as np
import pytest

from mome.speech.audio import SAMPLING_RATE, read_audio, resample
from mome.speech.voice import no_speech_probability, voiced_s

CORPORA = Path("../shared/corpora")
TIME_S = np.arange(2 * SAMPLING_RATE) / SAMPLING_RATE


def read(path: Path) -> np.ndarray:
    audio = read_audio(path)
    return resample(audio.samples, audio.sampling_rate, SAMPLING_RATE)


@pytest.mark.parametrize("pitch_hz", [80, 120, 220, 350])
@pytest.mark.parametrize("gain", [1.0, 0.01])
def test_the_seconds_of_a_voice_are_counted(pitch_hz: int, gain: float) -> None:
    voice = sum(np.sin(2 * np.pi * pitch_hz * number * TIME_S) / number for number in range(1, 12))
    spoken = 0.1 * gain * voice * ((TIME_S > 0.5) & (TIME_S < 1.3))
    assert voiced_s(spoken.astype(np.float32)) == pytest.approx(0.8, abs=0.06)


def test_silence_and_noise_are_no_voice() -> None:
    rng = np.random.default_rng(0)
    white = rng.normal(scale=0.01, size=len(TIME_S))
    hum = 0.01 * np.sin(2 * np.pi * 50 * TIME_S) + white / 20
    for noise in (np.zeros(len(TIME_S)), white, white / 100, hum, np.full(len(TIME_S), np.nan), TIME_S[:5]):
        assert no_speech_probability(voiced_s(noise.astype(np.float32))) > 0.9


@pytest.mark.skipif(not CORPORA.is_dir(), reason="needs the recordings of ../shared/corpora")
def test_real_noise_is_no_voice_however_loud() -> None:
    for path in sorted((CORPORA / "noise").glob("*.flac")):
        noise = read(path)
        pieces = [noise[start : start + 32000] for start in range(0, len(noise) - 32000, 64000)]
        for gain in (1.0, 0.01):
            judged = [no_speech_probability(voiced_s(gain * piece)) for piece in pieces]
            assert min(judged) > 0.5, path.name


@pytest.mark.skipif(not CORPORA.is_dir(), reason="needs the recordings of ../shared/corpora")
def test_real_speech_is_heard_however_quiet() -> None:
    paths = [
        *sorted((CORPORA / "librispeech").glob("*.flac"))[::10],
        *sorted((CORPORA / "ljspeech").glob("*.flac"))[::8],
        *(CORPORA / "grid" / name for name in ("bbaf2n.mpg", "lwbsza.mpg", "swiz3n.mpg")),
        *sorted((CORPORA / "fsdd" / "recordings").glob("*.wav"))[::200],
    ]
    for path in paths:
        speech = read(path)[:64000]
        quiet = np.rint(speech * 0.01 * 32768).astype(np.float32) / 32768
        for heard in (speech, quiet):
            assert no_speech_probability(voiced_s(heard)) < 0.5, path.name
