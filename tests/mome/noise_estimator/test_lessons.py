"""What the noise estimator is told is true of what it hears; people are heard beside synthetic voices."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from mome.errors import ConfigError
from mome.noise_estimator.lessons import NO_KIND, Sounds, make_sounds, mix
from mome.noise_estimator.voices import Talker, recorded_talkers, talk
from mome.speech.audio import Samples
from mome.speech.noise_bands import band_powers
from mome.speech.noise_network import NETWORK_KINDS
from mome.speech.noises import unit_power

RATE = 16_000


def tone(frequency_hz: float, seconds: float) -> Samples:
    return unit_power(np.sin(2 * np.pi * frequency_hz * np.arange(int(seconds * RATE)) / RATE))


def stored(samples: Samples) -> np.ndarray:
    return (samples / np.abs(samples).max() * 32_767).astype(np.int16)[None]


@pytest.fixture(scope="module")
def sounds() -> Sounds:
    hiss = np.random.default_rng(0).normal(size=4 * RATE).astype(np.float32)
    knocks = hiss * (np.arange(4 * RATE) % 8000 < 1600)
    noises = {"babble": stored(hiss), "steady": stored(hiss), "bursts": stored(knocks)}
    return Sounds(stored(tone(500, 4)), noises)


def test_the_level_is_the_ratio_of_what_was_mixed(sounds: Sounds) -> None:
    batch = mix(sounds, 32, np.random.default_rng(1))
    heard_B = batch.powers_BTM.sum(dim=(1, 2)).numpy() / batch.powers_BTM.shape[1]
    speech = band_powers(tone(500, 4)[None]).sum() / 199
    expected_B = speech * (1 + 10 ** (-batch.snr_db_B.numpy() / 10))
    np.testing.assert_allclose(heard_B, expected_B, rtol=0.25)  # a knock more or less within the frames
    assert batch.snr_db_B.min() < 0 and batch.snr_db_B.max() > 25


def test_the_shares_of_speech_lie_where_the_speech_is(sounds: Sounds) -> None:
    batch = mix(sounds, 32, np.random.default_rng(2))
    loud = batch.snr_db_B > 0
    share_BM = batch.speech_BTM.mean(dim=1)
    assert (share_BM[loud, 20] > 0.9).all()  # bins of 25 Hz: 500 Hz
    assert (share_BM[:, 50:].max(dim=1).values < 0.1).all()


def test_noise_is_called_by_its_power_and_above_25_db_there_is_none(sounds: Sounds) -> None:
    batch = mix(sounds, 256, np.random.default_rng(3))
    clean, between = batch.snr_db_B > 25, (batch.snr_db_B > 18) & (batch.snr_db_B <= 25)
    assert (batch.kinds_B[clean] == NETWORK_KINDS.index("none")).all()
    assert (batch.kinds_B[between] == NO_KIND).all()
    noisy = batch.kinds_B[batch.snr_db_B <= 18]
    shares = [float((noisy == NETWORK_KINDS.index(kind)).float().mean()) for kind in NETWORK_KINDS]
    assert shares == pytest.approx([0.46, 0.27, 0.27, 0.0], abs=0.1)


def test_each_group_of_talkers_is_heard_as_often_and_babbles_by_itself() -> None:
    low: list[Talker] = [[tone(hertz, 2)] for hertz in (200, 250, 300)]
    high: list[Talker] = [[tone(5000, 12)]]
    made = make_sounds([low, high], 60, seed=4)
    for pieces in (made.speech, made.noises["babble"]):
        powers_BM = band_powers(pieces.astype(np.float32)).sum(axis=1)
        low_B = powers_BM[:, :30].sum(axis=1) / powers_BM.sum(axis=1)  # below 750 Hz
        assert ((low_B < 0.3) | (low_B > 0.7)).all()
        assert 0.25 < (low_B > 0.5).mean() < 0.75


def test_a_recording_is_heard_from_anywhere() -> None:
    recording = np.arange(12 * RATE, dtype=np.float32)
    rng = np.random.default_rng(5)
    starts = [talk([recording], 2 * RATE, rng, pauses=0.0)[0] for _ in range(200)]
    assert min(starts) < RATE and max(starts) > 8 * RATE


def test_a_folder_of_recordings_is_a_voice_each(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    soundfile.write(tmp_path / "one.wav", 0.1 * tone(300, 2)[::2], RATE // 2)
    soundfile.write(tmp_path / "deeper" / "two.flac", 0.2 * tone(400, 1), RATE)
    soundfile.write(tmp_path / "moment.wav", tone(300, 0.1) * 0.1, RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    talkers = recorded_talkers(tmp_path)
    assert [len(talker[0]) for talker in talkers] == [RATE, 2 * RATE]
    assert all(np.square(talker[0]).mean() == pytest.approx(1.0, rel=1e-3) for talker in talkers)


def test_a_folder_without_speech_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no recording"):
        recorded_talkers(tmp_path)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    with pytest.raises(ConfigError, match="silent or shorter"):
        recorded_talkers(tmp_path)
