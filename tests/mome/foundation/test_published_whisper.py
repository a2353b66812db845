"""A published Whisper, by folder, hub name and precision, against transformers' own encoder."""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from mome.foundation.pretrained import take_audio
from mome.model.audio_encoder import AudioEncoder
from tests.small_recognisers import SMALL_WHISPER

TINY_EN = Path("../shared/models/whisper-tiny.en")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def drawn(folder: Path, dtype: torch.dtype = torch.float16) -> Path:
    """Save a small Whisper with its head, as the hub has them; weights that half precision holds exactly."""
    torch.manual_seed(0)
    WhisperForConditionalGeneration(SMALL_WHISPER).half().to(dtype).save_pretrained(folder)
    WhisperFeatureExtractor(chunk_length=4).save_pretrained(folder)
    return folder


@pytest.fixture(params=["drawn", "tiny.en"])
def published(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "drawn":
        return drawn(tmp_path / "published")
    if not TINY_EN.is_dir():
        pytest.skip("the published Whisper tiny.en is not on this machine")
    return TINY_EN


@torch.inference_mode()
def test_features_are_those_of_whispers_own_encoder(published: Path, tmp_path: Path) -> None:
    extractor = WhisperFeatureExtractor.from_pretrained(published)
    whisper = WhisperForConditionalGeneration.from_pretrained(published, dtype=torch.float32).eval()
    seconds = extractor.chunk_length / 2  # silence follows up to what Whisper takes
    samples = torch.randn(round(seconds * 16_000), generator=torch.Generator().manual_seed(1)) * 0.1
    # The published systems bring a clip to zero mean and unit variance first.
    normalised = ((samples - samples.mean()) / samples.std(unbiased=False)).numpy()
    heard = extractor(normalised, sampling_rate=16_000, return_tensors="pt").input_features
    expected = whisper.model.encoder(heard).last_hidden_state
    take_audio(str(published), tmp_path / "audio")
    features, (length,) = AudioEncoder.load(tmp_path / "audio", "30s")([samples])
    assert length == round(seconds * 50)
    scale = expected.abs().max().item()
    torch.testing.assert_close(features, expected[:, :length], atol=1e-4 * scale, rtol=1e-3)


def test_a_folder_a_hubs_name_and_half_precision_are_one_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half, single = drawn(tmp_path / "half"), drawn(tmp_path / "single", torch.float32)
    # As huggingface_hub lays out what it has downloaded.
    stored = tmp_path / "hub" / "models--org--whisper"
    shutil.copytree(half, stored / "snapshots" / COMMIT)
    (stored / "refs").mkdir()
    (stored / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    sources = {
        "half": str(half),
        "single": str(single),
        "named": f"org/whisper@{COMMIT}",
        "newest": "org/whisper@main",
    }
    clip = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32))
    heard = {}
    for name, source in sources.items():
        take_audio(source, tmp_path / "taken" / name)
        heard[name] = AudioEncoder.load(tmp_path / "taken" / name)([clip])[0]
    for name in sources:
        torch.testing.assert_close(heard[name], heard["single"], atol=0, rtol=0)
    assert load_file(half / "model.safetensors")["model.encoder.conv1.weight"].dtype == torch.float16
