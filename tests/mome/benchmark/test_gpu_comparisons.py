"""What is measured on a GPU only runs here too, at tiny sizes on the CPU."""

import pytest
import torch

from mome.benchmark.decoding import bytes_per_token, measure_decoding
from mome.benchmark.models import llama_1b
from mome.benchmark.options import Options
from mome.benchmark.rows import Target
from mome.benchmark.training import measure_training


@pytest.fixture(autouse=True)
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Options, "on_gpu", True)


def test_the_training_step_of_the_published_backbones(options: Options) -> None:
    step, *moves, language = measure_training(options)
    assert "Whisper-medium" in step.what
    assert (step.target, language.target) == (Target(low=3), Target(low=2))
    assert len(moves) == 4
    assert all(row.ratio is not None for row in (step, *moves, language))


def test_decoding_is_compared_with_reading_the_weights(options: Options) -> None:
    plain, compiled = measure_decoding(options)
    assert (plain.target, compiled.target) == (None, Target(high=1.5))
    for row in (plain, compiled):
        assert row.ratio is not None
        assert row.before_s is not None
        assert row.before_s > 0
        assert "TB/s" in row.note


def test_a_decoded_token_reads_every_weight_once(options: Options) -> None:
    llm = llama_1b(options, torch.float32)
    tied = llm.get_base_model()
    assert tied.lm_head.weight is tied.model.embed_tokens.weight
    seen = {id(parameter): parameter for parameter in llm.parameters()}
    assert bytes_per_token(llm) == sum(4 * parameter.numel() for parameter in seen.values())
