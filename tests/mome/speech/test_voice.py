"""Voice: heard in real speech however quiet, not in silence or household noise."""

from pathlib import Path

import numpy as np
import pytest

from mome.speech.audio import SAMPLING_RATE
from mome.speech.noise_estimate import estimate_noise
from mome.speech.recordings import read_recording
from mome.speech.voice import hear_voice, is_silent, no_speech_probability, voiced_s

CORPORA = Path("../shared/corpora")
TIME_S = np.arange(2 * SAMPLING_RATE) / SAMPLING_RATE


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


def note(pitch_hz: float, seconds: float, overtones: int = 6) -> np.ndarray:
    """Return a string that is plucked."""
    time_s = np.arange(round(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    swings = (np.sin(2 * np.pi * pitch_hz * k * time_s) / k for k in range(1, overtones))
    return sum(swings, np.zeros(1)) * np.exp(-3 * time_s)


def melody(seed: int, voices: int) -> np.ndarray:
    pitches = 220 * 2 ** (np.random.default_rng(seed).integers(0, 18, size=(6, voices)) / 12)
    return np.concatenate([sum(note(pitch, 0.5) for pitch in chord) for chord in pitches])


# What telephones, machines and films sound like where nobody speaks.
SECONDS = np.arange(3 * SAMPLING_RATE) / SAMPLING_RATE
NOBODY = {
    "test tone": np.sin(2 * np.pi * 400 * SECONDS),
    "ringing": np.sin(2 * np.pi * 425 * SECONDS) * (SECONDS % 2 < 1),
    "dialling": (np.sin(2 * np.pi * 697 * SECONDS) + np.sin(2 * np.pi * 1209 * SECONDS))
    * (SECONDS % 0.4 < 0.2),
    "transformer": sum(np.sin(2 * np.pi * 100 * k * SECONDS) / k for k in range(1, 8)),
    "engine": 2 * (np.cumsum(90 + 20 * np.sin(SECONDS)) / SAMPLING_RATE % 1) - 1,
    "siren": np.sin(2 * np.pi * np.cumsum(700 + 300 * np.sin(np.pi * SECONDS)) / SAMPLING_RATE),
    "melody": melody(2, 1),
    "chords": melody(3, 3),
}


@pytest.mark.parametrize("name", NOBODY)
@pytest.mark.parametrize("gain", [0.5, 0.005])
def test_what_has_a_pitch_need_not_be_a_voice(name: str, gain: float) -> None:
    samples = (gain * NOBODY[name] / np.abs(NOBODY[name]).max()).astype(np.float32)
    voice = hear_voice(samples)
    assert voice.seconds > 0.3  # as much as a word has
    assert not voice.is_spoken
    assert voice.heard_s == 0.0
    assert no_speech_probability(voice.heard_s) > 0.9
    assert is_silent(3.0, voice, estimate_noise(samples))


def test_what_is_shorter_than_a_second_is_not_judged() -> None:
    tone = NOBODY["test tone"].astype(np.float32)
    assert hear_voice(tone[: SAMPLING_RATE - 1]).is_spoken
    assert not hear_voice(tone[:SAMPLING_RATE]).is_spoken


@pytest.mark.skipif(not CORPORA.is_dir(), reason="needs the recordings of ../shared/corpora")
@pytest.mark.parametrize("name", ["transformer", "engine"])
def test_a_word_in_half_a_minute_of_hum_is_spoken(name: str) -> None:
    hum = np.tile(NOBODY[name], 10)
    hum = 0.05 * hum / np.sqrt(np.square(hum).mean())
    assert not hear_voice(hum.astype(np.float32)).is_spoken
    for path in sorted((CORPORA / "fsdd" / "recordings").glob("*.wav"))[::250]:
        word = read_recording(path)
        heard = hum.copy()
        heard[200_000 : 200_000 + len(word)] += 0.15 * word / np.sqrt(np.square(word).mean())
        assert hear_voice(heard.astype(np.float32)).is_spoken, path.name


@pytest.mark.skipif(not CORPORA.is_dir(), reason="needs the recordings of ../shared/corpora")
def test_real_speech_is_spoken_after_music_and_beside_it() -> None:
    music = np.tile(melody(3, 3), 3)
    music = 0.05 * music / np.sqrt(np.square(music).mean())
    for path in sorted((CORPORA / "librispeech").glob("*.flac"))[::10]:
        speech = read_recording(path)[:48000]
        speech = 0.05 * speech / np.sqrt(np.square(speech).mean())
        beside = speech + music[: len(speech)]
        after = np.concatenate([music, speech])
        for heard in (speech, 0.01 * speech, beside, after):
            assert hear_voice(heard.astype(np.float32)).is_spoken, path.name


@pytest.mark.skipif(not CORPORA.is_dir(), reason="needs the recordings of ../shared/corpora")
def test_real_noise_is_no_voice_however_loud() -> None:
    for path in sorted((CORPORA / "noise").glob("*.flac")):
        noise = read_recording(path)
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
        speech = read_recording(path)[:64000]
        quiet = np.rint(speech * 0.01 * 32768).astype(np.float32) / 32768
        for heard in (speech, quiet):
            assert no_speech_probability(hear_voice(heard).heard_s) < 0.5, path.name
