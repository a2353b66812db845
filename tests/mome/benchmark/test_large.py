"""A bundle with a large LLM: read as any other one, its texts as long as they may be."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

from mome.benchmark.large import write_large
from mome.benchmark.models import random_clip
from mome.bundle import Bundle, read_bundle, write_bundle
from mome.config import TrainParams
from mome.inference import Transcriber
from mome.machine.processor import Processor
from mome.model.backbones import llm_config
from mome.reading import Kept, Reading
from mome.scales import Scale
from mome.training.checkpoint import load_checkpoint, new_recogniser, write_checkpoint
from mome.training.state import History
from tests.serving.planted import write_parts

UNITS = {True: Processor("with units", "avx512-bf16", 2), False: Processor("without", "avx2", 2)}


@pytest.fixture
def bundle(foundation: Path, train_params: TrainParams, tmp_path: Path) -> Bundle:
    """The embedded foundation and what is trained on top of it, before any lesson."""
    parts = write_parts(tmp_path / "parts")
    checkpoint = tmp_path / "checkpoint"
    corpus = {"name": "planted", "revision": "0" * 40, "modality": "av"}
    write_checkpoint(
        checkpoint, new_recogniser(foundation, train_params), foundation, train_params, corpus, History()
    )
    parts |= {"foundation": foundation, "checkpoint": checkpoint}
    return write_bundle(name="small", default_scale=Scale(16, 5), output=tmp_path / "bundle", **parts)


def test_only_the_llm_is_another_one(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = deepcopy(llm_config("meta-llama/Llama-3.2-1B"))  # which is kept for others
    sizes.num_hidden_layers, sizes.hidden_size, sizes.intermediate_size = 2, 64, 128
    sizes.num_attention_heads, sizes.num_key_value_heads, sizes.head_dim = 4, 2, 16

    large = write_large(bundle, tmp_path / "large", max_new_tokens=9, sizes=sizes)

    assert read_bundle(tmp_path / "large").version == large.version != bundle.version
    assert large.evaluation.wer == bundle.evaluation.wer
    for part in ("audio", "video"):
        weights = f"{part}/model.safetensors"
        assert (large.foundation / weights).read_bytes() == (bundle.foundation / weights).read_bytes()
    llm = json.loads((large.foundation / "llm" / "config.json").read_text())
    assert (llm["hidden_size"], llm["vocab_size"]) == (64, 128_256)
    for has_units, precision in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr("mome.machine.processor.processor", lambda has=has_units: UNITS[has])
        model = load_checkpoint(large.checkpoint, large.foundation).model
        assert {each.dtype for each in model.llm.parameters()} == {precision}
        assert load_checkpoint(bundle.checkpoint, bundle.foundation).model.llm.dtype == torch.float32
    transcriber = Transcriber.load(large.foundation, large.checkpoint, large.decoding)
    kept = [Kept(), Kept()]
    clip = random_clip(25, np.random.default_rng(0))
    transcriber.read([Reading(clip, scale, timed=False) for scale in large.scales], kept)
    assert [len(each.text.tokens) for each in kept] == [9, 9]
