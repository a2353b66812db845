"""Features and noise: kept as computed, and mixed at the ratio that was asked for."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mome.speech.shards import read_split
from mome.training.features import Encoders, FeatureSet, NoisyCopies, extract, with_babble


def tones(count: int) -> list[np.ndarray]:
    time_s = np.arange(16_000) / 16_000
    return [0.1 * np.sin(2 * np.pi * 200 * (i + 1) * time_s).astype(np.float32) for i in range(count)]


@pytest.mark.parametrize("snr_db", [10.0, 0.0, -5.0])
def test_the_babble_has_the_stated_ratio(snr_db: float) -> None:
    voices = tones(4)
    mixed = with_babble(voices, 0, snr_db, np.random.default_rng(0))
    # The speech is a tone whose frequency no other voice has: its part of the mix can be read off.
    basis = voices[0] / np.linalg.norm(voices[0])
    speech = (mixed @ basis) * basis
    measured = 10 * np.log10((speech**2).sum() / ((mixed - speech) ** 2).sum())
    assert measured == pytest.approx(snr_db, abs=0.05)


def test_clean_means_untouched_and_zero_is_a_level() -> None:
    voices = tones(3)
    np.testing.assert_array_equal(with_babble(voices, 0, None, np.random.default_rng(0)), voices[0])
    assert not np.array_equal(with_babble(voices, 0, 0.0, np.random.default_rng(0)), voices[0])


def test_features_of_a_split_are_those_of_its_clips_and_survive_a_file(
    dataset: Path, foundation: Path, tmp_path: Path
) -> None:
    encoders = Encoders.load(foundation, "cpu")
    clean = NoisyCopies([None], 2, seed=0)
    features = extract(read_split(dataset, "test"), 4, encoders, clean, "encode")
    features.save(tmp_path / "features.safetensors")
    again = FeatureSet.load(tmp_path / "features.safetensors", features.transcripts)
    for index, (utterance, clip) in enumerate(read_split(dataset, "test")):
        (expected,) = encoders.encode([clip])
        for copy in range(2):
            found = again.features(index, copy)
            torch.testing.assert_close(found.audio_TC, expected.audio_TC, atol=2e-3, rtol=2e-3)
            torch.testing.assert_close(found.video_TC, expected.video_TC, atol=2e-3, rtol=2e-3)
        assert again.transcripts[index] == utterance.transcript
