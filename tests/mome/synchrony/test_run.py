"""Teaching synchrony lowers what is lost, and says how sure a profile makes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mome.errors import CorpusError
from mome.numpy_weights import load_weights, save_weights
from mome.speech.synchrony_network import MOST_LAG
from mome.synchrony.lessons import draw, lesson
from mome.synchrony.network import SynchronyNetwork
from mome.synchrony.run import calibrate, run, train


def test_a_short_training_finds_when_lips_move_with_sound(flickering) -> None:
    lessons = [lesson(flickering(seed, 50)) for seed in range(8)]
    network = train(lessons, 40, seed=1)
    unseen = [lesson(flickering(seed, 50)) for seed in range(100, 106)]
    piece = draw(unseen, 6, np.random.default_rng(2))
    with torch.no_grad():
        found = network(piece.flow_BTF, piece.sound_BTM).diagonal().T.argmax(dim=1) - MOST_LAG
    assert (found - piece.late_B).abs().le(1).float().mean() >= 0.8


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    network = SynchronyNetwork().eval()
    save_weights(network, tmp_path / "network.safetensors")
    loaded = load_weights(SynchronyNetwork(), tmp_path / "network.safetensors")
    for name, tensor in loaded.state_dict().items():
        torch.testing.assert_close(tensor, network.state_dict()[name])


def test_own_sound_becomes_probable_and_others_improbable(
    flickering, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mome.synchrony.run._CALIBRATION_STEPS", 4)
    network = SynchronyNetwork().eval()
    before = network.evidence.weight.item()
    calibrate(network, [lesson(flickering(seed, 50)) for seed in range(6)], seed=1)
    assert network.evidence.weight.item() != before


def test_too_few_clips_are_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="0 clips with sound and lips, expected at least 72"):
        run(tmp_path / "network.safetensors", [], drawn=0, steps=1, seed=1)
    assert not (tmp_path / "network.safetensors").exists()
