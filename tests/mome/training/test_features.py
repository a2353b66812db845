"""Features and noise: kept as computed, and mixed at the ratio that was asked for."""

from pathlib import Path

import torch

from mome.model.encoders import Encoders
from mome.speech.shards import read_split
from mome.training.features import FeatureSet, NoisyCopies, extract


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
