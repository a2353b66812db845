"""Noise from a file: planted values, found again at random places, and files that are none."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mome.config import MADE
from mome.errors import ConfigError
from mome.speech.noise import with_noise
from mome.speech.noise_file import NoiseFile, noise_digest, noise_of, recordings_digest

NUMBERS = np.arange(1, 4001, dtype=np.float32) / 5000  # every sample says where in the file it is


def written(folder: Path, samples: np.ndarray = NUMBERS, hz: int = 16_000) -> Path:
    path = folder / "noise.wav"
    soundfile.write(path, samples, hz, subtype="FLOAT")
    return path


def test_every_utterance_gets_a_stretch_from_a_place_of_its_own(tmp_path: Path) -> None:
    noise, rng = NoiseFile(written(tmp_path)), np.random.default_rng(0)
    starts = []
    for _ in range(200):
        stretch = noise.behind(0, 1000, rng)
        start = round(float(stretch[0]) * 5000) - 1
        np.testing.assert_array_equal(stretch, NUMBERS[start : start + 1000])
        starts.append(start)
    assert min(starts) < 100 and max(starts) > 2900, "from everywhere that leaves a whole stretch"
    again = noise.behind(3, 1000, np.random.default_rng(5))
    np.testing.assert_array_equal(again, noise.behind(7, 1000, np.random.default_rng(5)))


def test_a_file_shorter_than_the_utterance_goes_round(tmp_path: Path) -> None:
    stretch = NoiseFile(written(tmp_path)).behind(0, 9000, np.random.default_rng(1))
    steps = np.diff(np.rint(stretch * 5000).astype(int))
    assert len(stretch) == 9000
    assert set(steps) == {1, -3999}


def test_speech_is_mixed_with_the_file_at_the_stated_ratio(tmp_path: Path) -> None:
    speech = np.random.default_rng(2).normal(scale=0.01, size=4000).astype(np.float32)
    mixed = with_noise(NoiseFile(written(tmp_path)), 0, speech, 5.0, np.random.default_rng(3))
    added = mixed.astype(np.float64) - speech
    np.testing.assert_allclose(added / added[0], NUMBERS / NUMBERS[0], rtol=2e-2)
    assert 10 * np.log10(np.sum(speech.astype(np.float64) ** 2) / np.sum(added**2)) == pytest.approx(
        5, abs=0.01
    )
    assert with_noise(NoiseFile(written(tmp_path)), 0, speech, None, np.random.default_rng(3)) is speech


def test_a_file_that_is_no_noise_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        NoiseFile(tmp_path / "babble.wav")
    with pytest.raises(ConfigError, match="has 44100 Hz, expected 16000 Hz"):
        NoiseFile(written(tmp_path, hz=44_100))
    with pytest.raises(ConfigError, match="silent"):
        NoiseFile(written(tmp_path, np.zeros(100, np.float32)))


def test_a_record_names_the_noise_by_its_content(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert noise_digest(str(path)) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert noise_digest("corpus") == "corpus"
    assert noise_of("corpus") == (None,)
    with pytest.raises(ConfigError, match="expected noise at 16 kHz, or one of corpus"):
        noise_digest(str(tmp_path / "none.wav"))


def test_several_sources_are_named_in_one_setting(tmp_path: Path) -> None:
    path = written(tmp_path)
    corpus, made, folder, file = noise_of(f"corpus + steady + {tmp_path} + {path}")
    assert corpus is None
    for noise in (made, folder, file):
        assert noise is not None
        assert noise.behind(0, 800, np.random.default_rng(1)).shape == (800,)
    assert isinstance(file, NoiseFile)
    assert noise_digest(f"corpus + steady + {path}") == (
        f"corpus + steady + {hashlib.sha256(path.read_bytes()).hexdigest()}"
    )
    assert noise_digest(str(tmp_path)) == recordings_digest(tmp_path)
    assert {"bursts", "steady"} == set(MADE)
    assert all(noise_of(name) for name in MADE)
